package fate

import (
	"context"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/charm"
	"github.com/juju-charms/etcd-charm/internal/juju"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// fullHook is a hook that runs on the full model; next or stop ends it.
type fullHook struct {
	next   func() (string, bool) // the first call returns what the hook sees, or false if there is no hook; the second ends the hook
	stop   func()                // kills the hook
	result string
}

func (w *jujuTwin) beginFull(name string) *fullHook {
	h := &fullHook{}
	h.next, h.stop = iter.Pull(func(yield func(string) bool) {
		rec, _, err := w.full.Step(w.t.Context(), name, model.RunnerFunc(func(ctx context.Context, c *model.Context) (model.Outcome, error) {
			killed := false
			err := charm.Hook(ctx, operator.Event{
				Kind: c.Hook.Kind, Endpoint: c.Hook.Endpoint, RelationID: c.Hook.RelationKey(),
				RemoteApp: c.Hook.RemoteApp, RemoteUnit: c.Hook.RemoteUnit, Departing: c.Hook.Departing,
			}, w.charmIn(c), fullMachine{c}, func(e operator.Event, m operator.Model, world operator.World) operator.Plan {
				p := w.decide(e, m, world)
				if killed = !yield(w.seen); killed {
					p.Fail = errKilled
				}
				return p
			}, w.sim.clock)
			if killed || err == nil {
				return model.Outcome{Killed: killed}, nil
			}
			return model.Outcome{Code: 1, Stderr: []byte(err.Error())}, nil
		}))
		w.must(err)
		h.result = rec.Result
	})
	return h
}

// charmIn returns the charm as it runs on the full model.
func (w *jujuTwin) charmIn(c *model.Context) charm.Charm {
	tools := fullTools{c}
	return charm.Charm{Tools: tools, Find: tools, NewAuthority: func(string) (*pki.Authority, error) { return authority(), nil }, Env: func(key string) string {
		return map[string]string{"JUJU_UNIT_NAME": c.Unit(), "JUJU_MODEL_UUID": w.full.UUID(), "JUJU_VERSION": w.full.Rules.Version}[key]
	}}
}

// fullTools are the hook tools of the full model.
type fullTools struct{ *model.Context }

func (c fullTools) Has(tool string) bool { return slices.Contains(c.Model().Rules.Tools, tool) }

func (c fullTools) Run(_ context.Context, stdin []byte, tool string, args ...string) ([]byte, error) {
	reply, err := c.Call(model.Request{Tool: tool, Args: args, Stdin: stdin, StdinSet: true, ReadFile: os.ReadFile})
	if err == nil && reply.Code != 0 {
		err = &juju.ToolError{Tool: tool, Code: reply.Code, Stderr: strings.TrimSpace(string(reply.Stderr))}
	}
	return reply.Stdout, err
}

// fullMachine is a machine that holds nothing but the charm.
type fullMachine struct{ *model.Context }

func (fullMachine) Seen(context.Context) ([]uint64, operator.Turn) { return nil, operator.Turn{} }

func (c fullMachine) Observe(context.Context, operator.Model) (operator.World, error) {
	_, revision := c.Source()
	return operator.World{Carried: releaseOf(revision - 1)}, nil
}

func (fullMachine) Do(_ context.Context, step operator.Step) error { panic(step.String()) }
