package fate

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// follower is one unit of role proxy, with its machine. It shares nothing with others, so only a
// crash can happen to it.
type follower struct {
	options, charm int
	upstream       []databag.Relation
	disk           struct{ installed, written, process, release string }
	service        operator.Service

	points, dies int // yields so far, and the one at which the charm dies
}

func (f *follower) point() {
	if f.points++; f.points == f.dies {
		panic(errKilled)
	}
}

func (f *follower) Observe(context.Context, operator.Model) (operator.World, error) {
	return operator.World{
		Carried: releaseOf(f.charm), Installed: f.disk.installed, Service: f.service, Proxy: operator.ProxyFiles{Written: f.disk.written},
		Leftovers: f.disk.installed != "",
	}, nil
}

func (f *follower) Do(_ context.Context, step operator.Step) error {
	f.point()
	switch step := step.(type) {
	case operator.Install:
		f.disk.installed = step.Release
	case operator.WriteProxy:
		f.disk.written, f.disk.process, f.service.Kind = step.Upstream.Digest(), step.Upstream.ProcessDigest(), operator.ProxyService
		f.disk.release = step.Upstream.Release
	case operator.Start, operator.Restart:
		if f.disk.written == "" {
			return errors.New("no service is written")
		}
		f.service.Enabled, f.service.Running = true, true
		f.service.Config, f.service.Release = f.disk.process, f.disk.release
	case operator.Stop:
		f.service = operator.Service{Kind: f.service.Kind}
	case operator.Uninstall:
		f.disk, f.service = struct{ installed, written, process, release string }{}, operator.Service{}
	default:
		return fmt.Errorf("a proxy does not %s", step)
	}
	f.point()
	return nil
}

// hook runs one hook, and runs it again if it dies.
func (f *follower) hook(t *testing.T, kind hooks.Kind) operator.Plan {
	t.Helper()
	for range 2 {
		if plan, lived := f.try(t, kind); lived {
			return plan
		}
	}
	panic("it dies once only")
}

func (f *follower) try(t *testing.T, kind hooks.Kind) (plan operator.Plan, lived bool) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil && r != any(errKilled) {
			panic(r)
		}
	}()
	at := operator.Know(operator.Address{Ingress: host(9), All: []string{host(9)}})
	c := settings(f.options)
	c.Role = operator.RoleProxy
	m := operator.Model{
		Unit: "proxy/0", App: "proxy", Config: c, PeerAddress: at, ClientAddress: at, Relations: map[string]operator.Known[[]databag.Relation]{"upstream": operator.Know(f.upstream)},
		Leader: operator.Know(true), Units: operator.Know(map[string]operator.Life{"proxy/0": operator.Alive}),
	}
	f.point()
	plan, _, err := operator.Reconcile(context.Background(), operator.Decide, operator.Event{Kind: kind}, m, f)
	require.NoError(t, err)
	f.point()
	return plan, true
}

// provides returns the relation upstream with members at the given addresses.
func provides(at ...int) []databag.Relation {
	bag := databag.Bag{}
	for i, a := range at {
		if i > 0 {
			bag["cluster"] += ","
		}
		bag["cluster"] += fmt.Sprintf("etcd%d=http://%s:2380", a-10, host(a))
	}
	return []databag.Relation{{ID: "upstream:1", Endpoint: "upstream", App: "etcd", Units: map[string]databag.Bag{"etcd/0": bag}}}
}

// TestEveryCrashPointOfAProxy lets the charm die at every yield while the proxy's side of the
// relation changes. It must end as it would have ended without the crash: with what the provider
// says.
func TestEveryCrashPointOfAProxy(t *testing.T) {
	t.Parallel()
	for _, scenario := range []struct {
		name, serves string
		kind         hooks.Kind
		do           func(*follower)
	}{
		{"published", "yes", hooks.RelationChanged, func(f *follower) { f.upstream = provides(10) }},
		{"members change", "yes", hooks.RelationChanged, func(f *follower) { f.upstream = provides(10, 11, 12) }},
		{"another port", "yes", hooks.ConfigChanged, func(f *follower) { f.options = 1 }},
		{"refresh", "yes", hooks.UpgradeCharm, func(f *follower) { f.charm += 2 }},
		{"refresh to the same proxy", "as before", hooks.UpgradeCharm, func(f *follower) { f.charm++ }},
		{"members change while it is refreshed", "yes", hooks.UpgradeCharm, func(f *follower) { f.charm += 2; f.upstream = provides(11) }},
		{"the machine comes back", "yes", hooks.Start, func(f *follower) { f.service.Running, f.service.Config = false, "" }},
		{"broken bag", "as before", hooks.RelationChanged, func(f *follower) {
			f.upstream = []databag.Relation{{ID: "upstream:1", Units: map[string]databag.Bag{"etcd/0": {"cluster": "=,"}}}}
		}},
		{"relation gone", "no", hooks.RelationBroken, func(f *follower) { f.upstream = nil }},
		{"stopped", "no", hooks.Stop, func(*follower) {}},
		{"removed", "no", hooks.Remove, func(*follower) {}},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			t.Parallel()
			begun := follower{charm: 1} // the next charm has the same proxy
			begun.hook(t, hooks.Install)
			if scenario.name != "published" {
				begun.upstream = provides(10)
			}
			begun.hook(t, hooks.RelationChanged)
			begun.points = 0
			plain := begun
			scenario.do(&plain)
			want := plain.hook(t, scenario.kind)
			assert.Equal(t, scenario.serves != "no", plain.service.Running)
			if scenario.serves == "yes" {
				assert.Equal(t, plain.disk.process, plain.service.Config)
				assert.Equal(t, operator.ProxyID(releaseOf(plain.charm)), operator.ProxyID(plain.service.Release))
			}
			if scenario.serves == "as before" {
				assert.Equal(t, begun.service, plain.service)
			}
			if scenario.kind != hooks.Remove {
				assert.Equal(t, releaseOf(plain.charm), plain.disk.installed)
			}
			if scenario.kind == hooks.Remove {
				assert.Equal(t, follower{charm: plain.charm, points: plain.points, upstream: plain.upstream}, plain, "nothing is left on the machine")
			}
			for at := 1; at <= plain.points; at++ {
				f := begun
				f.dies = at
				scenario.do(&f)
				got := f.hook(t, scenario.kind)
				assert.Equal(t, plain.disk, f.disk, "dead at %d", at)
				assert.Equal(t, plain.service, f.service, "dead at %d", at)
				assert.Equal(t, want, got, "dead at %d", at)
			}
			t.Logf("%d points", plain.points)
		})
	}
}
