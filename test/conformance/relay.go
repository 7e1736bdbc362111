package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/juju/charm/v12"
	"github.com/juju/cmd/v3"
	"github.com/juju/errors"
	"github.com/juju/juju/worker/uniter/runner/jujuc"
	"github.com/juju/utils/v3/exec"
)

// relay stands between the hooks and the simulator and records where Juju's commands differ from
// it.
type relay struct {
	dir      string // where the dispatch script leaves each hook's environment, by context
	meta     *charm.Meta
	listener net.Listener

	mu       sync.Mutex
	up       *rpc.Client
	hooks    map[string]*hook
	findings []string
	calls    map[string]int // by tool, without refused ones
}

// hook is one run of a hook.
type hook struct {
	env   map[string]string
	ports []string
}

func newRelay(dir string, meta *charm.Meta) (*relay, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix"}) // a free abstract name
	if err != nil {
		return nil, err
	}
	r := &relay{dir: dir, meta: meta, listener: l, hooks: map[string]*hook{}, calls: map[string]int{}}
	srv := rpc.NewServer()
	if err := srv.RegisterName("Jujuc", &relayed{r}); err != nil {
		return nil, err
	}
	go srv.Accept(l)
	return r, nil
}

func (r *relay) close() { _ = r.listener.Close() }

// relayed is the service on the wire.
type relayed struct{ r *relay }

// Main runs one tool, in both ways.
func (j *relayed) Main(req jujuc.Request, resp *exec.ExecResponse) error {
	j.r.mu.Lock()
	defer j.r.mu.Unlock()
	return j.r.serve(req, resp)
}

func (r *relay) serve(req jujuc.Request, resp *exec.ExecResponse) error {
	c, err := r.context(req.ContextId)
	if err != nil {
		r.findings = append(r.findings, fmt.Sprintf("%s: %s: cannot prepare: %v",
			req.ContextId, req.CommandName, err))
		return err
	}
	before := r.look(c, req)
	upErr := r.up.Call("Jujuc.Main", req, resp)
	if req.CommandName == "secret-add" {
		c.added = strings.TrimSpace(string(resp.Stdout))
	}
	var want exec.ExecResponse
	wantErr := run(c, req, &want)
	told := func(format string, args ...any) {
		r.findings = append(r.findings,
			fmt.Sprintf("%s: %s %q: ", req.ContextId, req.CommandName, req.Args)+
				fmt.Sprintf(format, args...))
	}
	switch {
	case (upErr == nil) != (wantErr == nil) || upErr != nil && upErr.Error() != wantErr.Error():
		told("the simulator says %v, Juju %v", upErr, wantErr)
	case upErr != nil:
	case resp.Code != want.Code:
		told("the simulator exits %d (%s), Juju %d (%s)", resp.Code, resp.Stderr, want.Code, want.Stderr)
	case !sameText(resp.Stdout, want.Stdout):
		told("the simulator prints\n%s\nJuju\n%s", redact(req, resp.Stdout), redact(req, want.Stdout))
	case resp.Code == 0:
		after := r.look(c, req)
		for _, difference := range c.differences(before, after) {
			told("%s", difference)
		}
	}
	if upErr == nil {
		r.calls[req.CommandName+map[bool]string{true: "(refused)"}[resp.Code != 0]]++
	}
	return upErr
}

func (r *relay) total() int {
	n := 0
	for _, calls := range r.calls {
		n += calls
	}
	return n
}

// run runs Juju's command as its own server does (jujuc.Jujuc.Main).
func run(c *hookContext, req jujuc.Request, resp *exec.ExecResponse) error {
	command, err := jujuc.NewCommand(c, req.CommandName)
	if err != nil {
		return fmt.Errorf("bad request: %w", err)
	}
	var stdin io.Reader = noStdin{}
	if req.StdinSet {
		stdin = bytes.NewReader(req.Stdin)
	}
	var stdout, stderr bytes.Buffer
	wrapped := &kept{Command: command}
	resp.Code = cmd.Main(wrapped, &cmd.Context{
		Dir: req.Dir, Stdin: stdin, Stdout: &stdout, Stderr: &stderr,
	}, req.Args)
	if errors.Cause(wrapped.err) == jujuc.ErrNoStdin {
		return jujuc.ErrNoStdin
	}
	resp.Stdout, resp.Stderr = stdout.Bytes(), stderr.Bytes()
	return nil
}

type noStdin struct{}

func (noStdin) Read([]byte) (int, error) { return 0, jujuc.ErrNoStdin }

// kept is a command that keeps its error.
type kept struct {
	cmd.Command
	err error
}

func (k *kept) Run(ctx *cmd.Context) error {
	k.err = k.Command.Run(ctx)
	return k.err
}

// context is what one tool sees.
func (r *relay) context(id string) (*hookContext, error) {
	c := &hookContext{
		meta:   r.meta,
		bags:   map[string]map[string]*string{},
		state:  map[string]*string{},
		opened: map[string]bool{},
	}
	c.ask = func(tool string, args ...string) ([]byte, error) {
		var resp exec.ExecResponse
		if err := r.up.Call("Jujuc.Main", jujuc.Request{
			ContextId: id, Dir: "/", CommandName: tool, Args: args,
		}, &resp); err != nil {
			return nil, err
		}
		if resp.Code != 0 {
			return nil, errors.New(strings.TrimPrefix(strings.TrimSpace(string(resp.Stderr)), "ERROR "))
		}
		return resp.Stdout, nil
	}
	h := r.hooks[id]
	if h == nil {
		text, err := os.ReadFile(filepath.Join(r.dir, strings.ReplaceAll(id, "/", "_")))
		if err != nil {
			return nil, err
		}
		h = &hook{env: map[string]string{}}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			h.env[key] = value
		}
		if r.up == nil {
			if r.up, err = rpc.Dial("unix", h.env["JUJU_AGENT_SOCKET_ADDRESS"]); err != nil {
				return nil, err
			}
		}
		r.hooks[id], c.env = h, h.env
		if h.ports, err = answer[[]string](c, "opened-ports"); err != nil {
			return nil, err
		}
	}
	c.env, c.ports = h.env, h.ports
	return c, nil
}

// sameText reports whether two outputs are the same, or the same JSON with its keys in any order.
func sameText(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	xs, _ := json.Marshal(x)
	ys, _ := json.Marshal(y)
	return bytes.Equal(xs, ys)
}

// redact keeps private keys out of a test's log.
func redact(req jujuc.Request, text []byte) string {
	if strings.HasPrefix(req.CommandName, "secret-") || bytes.Contains(text, []byte("PRIVATE")) {
		return fmt.Sprintf("[%d bytes, redacted]", len(text))
	}
	return string(text)
}

// look is what a writing tool can change, as the simulator shows it to the hook; empty for a tool
// that only reads.
func (r *relay) look(c *hookContext, req jujuc.Request) map[string]map[string]string {
	out := map[string]map[string]string{}
	switch req.CommandName {
	case "relation-set":
		keys, err := c.relationKeys()
		if err != nil {
			return nil
		}
		for _, key := range keys {
			if own, err := answer[map[string]string](c,
				"relation-get", "-r", key, "-", c.UnitName()); err == nil {
				out[key+" "+c.UnitName()] = own
			}
			if app, err := answer[map[string]string](c,
				"relation-get", "-r", key, "--app", "-", c.appName()); err == nil {
				out[key+" "+c.appName()] = app
			}
		}
	case "state-set", "state-delete":
		if state, err := c.GetCharmState(); err == nil {
			out["state"] = state
		}
	case "status-set":
		if s, err := c.UnitStatus(); err == nil {
			out["status"] = map[string]string{"status": s.Status, "message": s.Info}
		}
	case "secret-add", "secret-set":
		uri := c.added
		if req.CommandName == "secret-set" && len(req.Args) > 0 {
			uri = req.Args[slices.IndexFunc(req.Args, func(a string) bool {
				return strings.HasPrefix(a, "secret:")
			})]
		}
		if uri == "" {
			break
		}
		if content, err := answer[map[string]string](c, "secret-get", "--peek", uri); err == nil {
			out["secret"] = content
		}
	}
	return out
}

// differences are where the simulator's result of a write differs from what Juju's command wrote.
func (c *hookContext) differences(before, after map[string]map[string]string) []string {
	var out []string
	writes := maps.Clone(c.bags)
	writes["state"] = c.state
	for at, written := range writes {
		want := map[string]string{}
		maps.Copy(want, before[at])
		for key, value := range written {
			if value == nil {
				delete(want, key)
			} else {
				want[key] = *value
			}
		}
		if before[at] != nil && !maps.Equal(want, after[at]) {
			out = append(out, fmt.Sprintf(
				"Juju leaves the keys %v at %q, the simulator %v, or their values differ",
				slices.Sorted(maps.Keys(want)), at, slices.Sorted(maps.Keys(after[at]))))
		}
	}
	if s := c.status; s != nil &&
		(after["status"]["status"] != s.Status || after["status"]["message"] != s.Info) {
		out = append(out, fmt.Sprintf("Juju sets status %s %q, the simulator %v",
			s.Status, s.Info, after["status"]))
	}
	if c.content != nil && !maps.Equal(c.content, after["secret"]) {
		out = append(out, fmt.Sprintf("Juju keeps a secret of %v, the simulator of %v",
			slices.Sorted(maps.Keys(c.content)), slices.Sorted(maps.Keys(after["secret"]))))
	}
	slices.Sort(out)
	return out
}
