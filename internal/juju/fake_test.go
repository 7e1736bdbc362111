package juju

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// call is one recorded hook tool call.
type call struct {
	tool  string
	args  []string
	stdin string
}

// secret is an application's secret.
type secret struct {
	label   string
	content map[string]string
}

// fakeJuju answers hook tools from memory as Juju does, and panics on a call that Juju would not
// understand.
type fakeJuju struct {
	unit    string
	leader  bool
	config  map[string]any
	goal    map[string]string // unit → status
	ids     map[string][]string
	app     databag.Bag // the peer application bag
	peers   map[string]databag.Bag
	remote  map[string]map[string]databag.Bag // relation → unit → bag
	written map[string]databag.Bag            // relation → our own bag as written
	secrets map[string]secret
	network map[string]string // binding → JSON
	state   map[string]string
	open    []string
	status  string
	params  string
	results map[string]string

	fail  map[string]error  // tool, or "tool arg", → error
	says  map[string]string // tool → raw answer
	calls []call
	onRun func(tool string, args []string)
}

// refusal returns the error of a tool that exits with code 1.
func refusal(tool, stderr string) error { return &ToolError{Tool: tool, Code: 1, Stderr: stderr} }

func network(address string) string {
	return fmt.Sprintf(`{"bind-addresses":[{"mac-address":"aa","interface-name":"eth0","addresses":[{"hostname":"","value":%[1]q,
		"cidr":"10.0.0.0/24","address":%[1]q}]}],"egress-subnets":["10.0.0.5/32"],"ingress-addresses":[%[1]q]}`, address)
}

// newFake returns the first of three units, none of which has written anything yet.
func newFake() *fakeJuju {
	return &fakeJuju{
		unit: "etcd/0", leader: true, config: map[string]any{"role": "member", "port": 2379},
		goal:    map[string]string{"etcd/0": "active", "etcd/1": "waiting", "etcd/2": "active"},
		ids:     map[string][]string{"cluster": {"cluster:0"}},
		app:     databag.Bag{},
		peers:   map[string]databag.Bag{"etcd/0": {}, "etcd/1": {}, "etcd/2": {}},
		remote:  map[string]map[string]databag.Bag{},
		written: map[string]databag.Bag{},
		secrets: map[string]secret{"abc": {authorityLabel, authority().Encode()}},
		network: map[string]string{"cluster": network("10.0.0.5"), "proxy": network("10.1.0.5")},
		state:   map[string]string{},
		results: map[string]string{},
		fail:    map[string]error{},
		says:    map[string]string{},
	}
}

func (f *fakeJuju) Has(tool string) bool { return !errors.Is(f.fail[tool], ErrNoTool) }

func (f *fakeJuju) Run(_ context.Context, stdin []byte, tool string, args ...string) ([]byte, error) {
	f.calls = append(f.calls, call{tool, slices.Clone(args), string(stdin)})
	if f.onRun != nil {
		f.onRun(tool, args)
	}
	for _, key := range []string{tool, tool + " " + strings.Join(args, " ")} {
		if err := f.fail[key]; err != nil {
			return nil, err
		}
	}
	for key, err := range f.fail {
		if name, last, ok := strings.Cut(key, " … "); ok && name == tool && last == args[len(args)-1] {
			return nil, err
		}
	}
	if raw, ok := f.says[tool]; ok {
		return []byte(raw), nil
	}
	flags, rest := parse(tool, args)
	answer, err := f.answer(tool, flags, rest, stdin)
	if err != nil || answer == nil {
		return nil, err
	}
	if flags["format"] != "json" {
		panic(tool + " without --format json")
	}
	if raw, ok := answer.(json.RawMessage); ok {
		return raw, nil
	}
	return json.Marshal(answer)
}

// parse splits flags from arguments as gnuflag does.
func parse(tool string, args []string) (map[string]string, []string) {
	flags := map[string]string{}
	var rest []string
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--":
			return flags, append(rest, args[i+1:]...)
		case a == "--app" || a == "--refresh":
			flags[a[2:]] = "true"
		case a == "--format" || a == "--file" || a == "--label" || a == "--description" || a == "--owner" || a == "--log-level" || a == "-r":
			flags[strings.TrimLeft(a, "-")] = args[i+1]
			i++
		case strings.HasPrefix(a, "-") && a != "-":
			panic(tool + ": unknown flag " + a)
		default:
			rest = append(rest, a)
		}
	}
	return flags, rest
}

func (f *fakeJuju) answer(tool string, flags map[string]string, args []string, stdin []byte) (any, error) {
	switch tool {
	case "config-get":
		return f.config, nil
	case "is-leader":
		return f.leader, nil
	case "goal-state":
		units := map[string]any{}
		for unit, status := range f.goal {
			units[unit] = map[string]string{"status": status, "since": "2026-11-22 02:00:00Z"}
		}
		return map[string]any{"units": units, "relations": map[string]any{}}, nil
	case "relation-ids":
		return append([]string{}, f.ids[args[0]]...), nil
	case "relation-list":
		return append([]string{}, slices.Sorted(maps.Keys(f.remote[flags["r"]]))...), nil
	case "relation-get":
		return f.relationGet(flags, args)
	case "network-get":
		return json.RawMessage(f.network[args[0]]), nil
	case "state-get":
		return f.state, nil
	case "opened-ports":
		return f.open, nil
	case "action-get":
		return json.RawMessage(f.params), nil
	case "secret-get", "secret-ids", "secret-info-get", "secret-add", "secret-set":
		return f.secret(tool, flags, args)
	}
	return nil, f.write(tool, flags, args, stdin)
}

func (f *fakeJuju) relationGet(flags map[string]string, args []string) (any, error) {
	if len(args) != 2 {
		panic(fmt.Sprintf("relation-get %q", args))
	}
	if flags["app"] != "" {
		return map[string]string(f.app), nil
	}
	bags := f.peers
	if flags["r"] != "cluster:0" {
		bags = f.remote[flags["r"]]
	}
	bag, ok := bags[args[1]]
	if !ok {
		return nil, refusal("relation-get", "ERROR relation unit not found")
	}
	if args[0] != "-" {
		return bag[args[0]], nil
	}
	return map[string]string(bag), nil
}

func (f *fakeJuju) secret(tool string, flags map[string]string, args []string) (any, error) {
	switch tool {
	case "secret-get":
		if flags["refresh"] == "" || len(args) != 0 {
			panic(fmt.Sprintf("secret-get %q", args))
		}
		for _, s := range f.secrets {
			if s.label == flags["label"] {
				return s.content, nil
			}
		}
		return nil, refusal(tool, `ERROR consumer label "etcd-authority" not found`)
	case "secret-ids":
		var ids []string // Juju prints null when there are none
		for id := range f.secrets {
			ids = append(ids, id)
		}
		return ids, nil
	case "secret-info-get":
		return map[string]any{args[0]: map[string]any{"revision": 1, "label": f.secrets[args[0]].label, "owner": "application"}}, nil
	}
	if tool == "secret-set" {
		flags["label"], args = f.secrets[args[0]].label, args[1:]
	}
	content := map[string]string{}
	for _, arg := range args {
		key, path, ok := strings.Cut(arg, "#file=")
		if !ok {
			panic("secret-add with a value in an argument")
		}
		text, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		content[key] = string(text)
	}
	if tool == "secret-add" && flags["description"] == "" {
		panic("secret-add without a description, which juju secrets shows")
	}
	f.secrets["new"] = secret{flags["label"], content}
	return nil, nil
}

func (f *fakeJuju) write(tool string, flags map[string]string, args []string, stdin []byte) error {
	switch tool {
	case "relation-set":
		bag := f.written[flags["r"]]
		if flags["r"] == "cluster:0" {
			bag = f.peers[f.unit]
		}
		if flags["app"] != "" {
			if !f.leader {
				return refusal(tool, "ERROR cannot write relation settings")
			}
			bag = f.app
		}
		if bag == nil {
			bag = databag.Bag{}
			f.written[flags["r"]] = bag
		}
		for key, value := range decode(flags, args, stdin) {
			if bag[key] = value; value == "" {
				delete(bag, key)
			}
		}
	case "state-set":
		maps.Copy(f.state, decode(flags, args, stdin))
	case "state-delete":
		delete(f.state, args[0])
	case "secret-grant":
		if f.secrets[args[0]].label == "" || flags["r"] == "" {
			panic(fmt.Sprintf("secret-grant %q", args))
		}
	case "open-port":
		f.open = append(f.open, args[0])
	case "close-port":
		f.open = slices.DeleteFunc(f.open, func(p string) bool { return p == args[0] })
	case "status-set":
		if !slices.Contains([]string{"maintenance", "blocked", "waiting", "active"}, args[0]) {
			panic("status-set " + args[0])
		}
		f.status = args[0] + ": " + args[1]
	case "application-version-set", "juju-log", "action-fail":
		if len(args) != 1 {
			panic(fmt.Sprintf("%s %q", tool, args))
		}
	case "action-set":
		for _, arg := range args {
			key, value, _ := strings.Cut(arg, "=")
			f.results[key] = value
		}
	default:
		panic("no such tool: " + tool)
	}
	return nil
}

// decode reads stdin as Juju does, and refuses values that are not text: an unquoted 1E2345 is a
// number.
func decode(flags map[string]string, args []string, stdin []byte) map[string]string {
	var raw map[string]any
	if err := yaml.Unmarshal(stdin, &raw); err != nil || flags["file"] != "-" || len(args) != 0 {
		panic(fmt.Sprintf("settings: %v, %q", err, args))
	}
	out := map[string]string{}
	for key, value := range raw {
		out[key] = value.(string)
	}
	return out
}

// count returns how often each tool was called.
func (f *fakeJuju) count() map[string]int {
	out := map[string]int{}
	for _, c := range f.calls {
		out[c.tool]++
	}
	return out
}

const privateKey = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"

// authority is the one that newAuthority makes: a real one, the same in every process, and made
// once in each.
var authority = sync.OnceValue(func() *pki.Authority {
	a, err := pki.NewAuthority(rand.NewChaCha8([32]byte{1}), time.Unix(0, 0), "etcd")
	if err != nil {
		panic(err)
	}
	return a
})

func newAuthority(app string) (*pki.Authority, error) {
	if app != "etcd" {
		panic("authorities of " + app)
	}
	return authority(), nil
}

func observe(t *testing.T, f *fakeJuju, change ...func(*Env)) operator.Model {
	t.Helper()
	env := Env{Unit: f.unit, ModelUUID: "uuid", Hostname: "juju-1", Secrets: true}
	for _, c := range change {
		c(&env)
	}
	m, err := Observe(t.Context(), f, env, []uint64{7})
	require.NoError(t, err)
	return m
}
