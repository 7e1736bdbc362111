//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim/hooktool"
	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

const (
	socket   = "/run/juju-agent.socket" // on a machine
	toolsDir = "/var/lib/juju/tools/e2e"
)

func charmDir(unit string) string {
	return "/var/lib/juju/agents/unit-" + strings.ReplaceAll(unit, "/", "-") + "/charm"
}

// agent is Juju's side of the machines: it runs the model's hooks there and answers their hook
// tools.
type agent struct {
	machines machines
	model    *model.Model
	dir      string // on this host, with a short path: sockets are in it
	listen   string // the host's end of every machine's agent socket
	tool     string // the program of hook tools

	mu    sync.Mutex
	ready map[int]bool    // machines that have the socket and the tools
	has   map[string]bool // unit and charm revision that are unpacked
	asked map[string]int  // hooks that a unit's machine has asked for
}

// newAgent begins to answer hook tools.
func newAgent(t *testing.T, m machines) *agent {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-") //nolint:usetesting // a socket's path is 108 bytes at most, and the test's directory has a long one
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	a := &agent{
		machines: m, dir: dir, listen: filepath.Join(dir, "agent.socket"), tool: env(t, "TOOL"),
		ready: map[int]bool{}, has: map[string]bool{}, asked: map[string]int{},
	}
	l, err := net.Listen("unix", a.listen)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	server := rpc.NewServer()
	require.NoError(t, server.RegisterName("Jujuc", &jujuc{a}))
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(conn)
		}
	}()
	return a
}

// jujuc answers hook tools as the simulator does, but reads the files that they name on their
// machine.
type jujuc struct{ agent *agent }

// Main runs one hook tool, or a command for juju-exec.
func (j *jujuc) Main(req hooktool.Request, resp *hooktool.Reply) error {
	if req.CommandName == j.agent.execTool() {
		return j.agent.exec(req.Args)
	}
	c, err := j.agent.model.Context(req.ContextId)
	if err != nil {
		return err
	}
	reply, err := c.Call(model.Request{
		Tool: req.CommandName, Args: req.Args, Dir: req.Dir, Stdin: req.Stdin, StdinSet: req.StdinSet,
		ReadFile: func(name string) ([]byte, error) {
			out, err := j.agent.machines.run(context.Background(), c.Machine(), nil, "env", "-C", req.Dir, "cat", name)
			return []byte(out), err
		},
	})
	*resp = hooktool.Reply(reply)
	return err
}

// execTool is the tool with which programs of a machine ask for a hook.
func (a *agent) execTool() string {
	if strings.HasPrefix(a.model.Rules.Version, "2.") {
		return "juju-run"
	}
	return "juju-exec"
}

// exec queues the hook that a machine asks for; it runs with the other hooks.
func (a *agent) exec(args []string) error {
	if len(args) != 2 || !strings.HasSuffix(args[1], charmDir(args[0])+"/hooks/update-status") {
		return fmt.Errorf("only a unit's update-status is known here, not %q", args)
	}
	a.mu.Lock()
	a.asked[args[0]]++
	a.mu.Unlock()
	return a.model.UpdateStatus(args[0])
}

// hooksAsked is how many hooks a unit's machine has asked for.
func (a *agent) hooksAsked(unit string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[unit]
}

// Run runs one hook on its unit's machine, as root in the charm directory, with only a hook's
// environment.
func (a *agent) Run(ctx context.Context, c *model.Context) (model.Outcome, error) {
	if err := a.prepare(ctx, c); err != nil {
		return model.Outcome{}, err
	}
	kind := "hooks"
	if c.Hook.Kind == hooks.Action {
		kind = "actions"
	}
	file := path.Join(kind, c.Hook.Name())
	source, _ := c.Source()
	if _, err := os.Stat(filepath.Join(source, file)); errors.Is(err, fs.ErrNotExist) {
		return model.Outcome{Missing: true}, nil
	}
	dir := charmDir(c.Unit())
	vars := environ(c)
	argv := []string{"run", name(c.Machine()), "env", "-i", "-C", dir}
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		argv = append(argv, k+"="+vars[k])
	}
	cmd := exec.CommandContext(ctx, a.machines.script, append(argv, path.Join(dir, file))...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &stdout, &stderr, time.Second
	err := cmd.Run()
	out := model.Outcome{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		out.Code = exit.ExitCode()
		err = nil
	}
	return out, err
}

// environ is a hook's whole environment: there is no HOME and no USER in it.
func environ(c *model.Context) map[string]string {
	h, dir := c.Hook, charmDir(c.Unit())
	vars := map[string]string{
		"CHARM_DIR": dir, "JUJU_CHARM_DIR": dir, "CLOUD_API_VERSION": "", "JUJU_CONTEXT_ID": c.ID,
		"JUJU_HOOK_NAME": h.Name(), "JUJU_DISPATCH_PATH": "hooks/" + h.Name(),
		"JUJU_AGENT_SOCKET_ADDRESS": socket, "JUJU_AGENT_SOCKET_NETWORK": "unix",
		"JUJU_UNIT_NAME": c.Unit(), "JUJU_MODEL_UUID": c.Model().UUID(), "JUJU_MODEL_NAME": c.Model().Name(),
		"JUJU_API_ADDRESSES": "10.88.0.1:17070", "JUJU_MACHINE_ID": fmt.Sprint(c.Machine()), "JUJU_PRINCIPAL_UNIT": "",
		"JUJU_AVAILABILITY_ZONE": "", "JUJU_VERSION": c.Model().Rules.Version,
		"JUJU_CHARM_HTTP_PROXY": "", "JUJU_CHARM_HTTPS_PROXY": "", "JUJU_CHARM_FTP_PROXY": "", "JUJU_CHARM_NO_PROXY": "",
		"PATH": toolsDir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
		"TERM": "tmux-256color", "DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none",
	}
	if h.Kind == hooks.Action {
		vars["JUJU_HOOK_NAME"], vars["JUJU_DISPATCH_PATH"] = "", "actions/"+h.Action
		vars["JUJU_ACTION_NAME"], vars["JUJU_ACTION_UUID"], vars["JUJU_ACTION_TAG"] = h.Action, c.ActionID(), "action-"+c.ActionID()
	}
	if h.Endpoint != "" {
		vars["JUJU_RELATION"], vars["JUJU_RELATION_ID"] = h.Endpoint, h.RelationKey()
		vars["JUJU_REMOTE_APP"], vars["JUJU_REMOTE_UNIT"] = h.RemoteApp, h.RemoteUnit
	}
	if h.Kind == hooks.RelationDeparted {
		vars["JUJU_DEPARTING_UNIT"] = h.Departing
	}
	if h.Secret != "" {
		vars["JUJU_SECRET_ID"], vars["JUJU_SECRET_LABEL"] = h.Secret, h.SecretLabel
		vars["JUJU_SECRET_REVISION"] = fmt.Sprint(h.SecretRevision)
	}
	return vars
}

// connect gives a machine the agent's socket.
func (a *agent) connect(ctx context.Context, n int) error {
	_, err := output(exec.CommandContext(ctx, "lxc", "config", "device", "add", name(n), "juju", "proxy", "bind=instance",
		"listen=unix:"+socket, "connect=unix:"+a.listen, "mode=0600"))
	return err
}

// connected reports whether the agent's socket is on the machine.
func (a *agent) connected(ctx context.Context, n int) bool {
	_, err := output(exec.CommandContext(ctx, "lxc", "exec", name(n), "--", "test", "-S", socket))
	return err == nil
}

// prepare does what Juju's agent does on a machine before a unit's first hook: its socket, the
// tools, the charm.
func (a *agent) prepare(ctx context.Context, c *model.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := c.Machine()
	if a.ready[n] && c.Hook.Kind == hooks.Start && !a.connected(ctx, n) {
		// The machine has booted, and mounted /run over the former socket.
		if _, err := output(exec.CommandContext(ctx, "lxc", "config", "device", "remove", name(n), "juju")); err != nil {
			return err
		}
		if err := a.connect(ctx, n); err != nil {
			return err
		}
	}
	if !a.ready[n] {
		if err := a.connect(ctx, n); err != nil {
			return err
		}
		if err := a.putTools(ctx, n); err != nil {
			return fmt.Errorf("cannot put hook tools on machine %d: %w", n, err)
		}
		a.ready[n] = true
	}
	source, revision := c.Source()
	key := fmt.Sprintf("%s@%d", c.Unit(), revision)
	if a.has[key] {
		return nil
	}
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	if err := errors.Join(tw.AddFS(os.DirFS(source)), tw.Close()); err != nil {
		return fmt.Errorf("cannot pack charm directory: %w", err)
	}
	line := fmt.Sprintf("rm -rf %[1]s.next && mkdir -p %[1]s.next && tar -x --no-same-owner -C %[1]s.next && rm -rf %[1]s && mv %[1]s.next %[1]s",
		charmDir(c.Unit()))
	_, err := a.machines.run(ctx, c.Machine(), buf.Bytes(), "sh", "-c", line)
	if err != nil {
		return fmt.Errorf("cannot put charm on machine %d: %w", c.Machine(), err)
	}
	a.has[key] = true
	return nil
}

// putTools puts the small program for hook tools on the machine, under the name of each tool.
func (a *agent) putTools(ctx context.Context, n int) error {
	program, err := os.ReadFile(a.tool)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("mkdir -p %[1]s && cat >%[1]s/jujuc && chmod 755 %[1]s/jujuc && cd %[1]s && for t in %[2]s %[3]s; do ln -sf jujuc $t; done; "+
		"printf '#!/bin/sh\nJUJU_AGENT_SOCKET_NETWORK=unix JUJU_AGENT_SOCKET_ADDRESS=%[4]s exec %[1]s/%[3]s \"$@\"\n' >/usr/bin/%[3]s; chmod 755 /usr/bin/%[3]s",
		toolsDir, strings.Join(a.model.Rules.Tools, " "), a.execTool(), socket)
	_, err = a.machines.run(ctx, n, program, "sh", "-c", line)
	return err
}
