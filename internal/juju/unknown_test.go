package juju

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// fakeMachine is a member's machine in a healthy cluster, or before there is one: each step does at once what it says.
type fakeMachine struct{ world operator.World }

func (h *fakeMachine) Observe(context.Context, operator.Model) (operator.World, error) {
	return h.world, nil
}

func (h *fakeMachine) Do(_ context.Context, step operator.Step) error {
	w := &h.world
	switch s := step.(type) {
	case operator.WriteTLS:
		leaf := func(sans []string) operator.Leaf {
			return operator.Leaf{Present: true, SANs: sans, Remaining: 300 * 24 * time.Hour}
		}
		w.TLS = operator.TLS{
			Trust: s.Authority.Trust(), Revoked: operator.RevokedDigest(nil), PeerList: true, Peer: leaf(s.PeerSANs), Server: leaf(s.ServerSANs), Admin: leaf(nil),
		}
		if s.Revoked != nil {
			w.TLS.Revoked = operator.RevokedDigest(s.Revoked.Relations)
		}
	case operator.WriteMember:
		w.WrittenConfig, w.WrittenInitial = s.Server.Digest(), s.Server.Initial
		w.Service.PeerURL, w.Service.ClientURL = s.Server.PeerURL, s.Server.ClientURL
	case operator.WriteProxy:
		w.Proxy.Written, w.Service.Kind = s.Upstream.Digest(), operator.ProxyService
		w.WrittenConfig = s.Upstream.ProcessDigest()
	case operator.SpendInitial:
		w.WrittenInitial = operator.Initial{}
	case operator.Start, operator.Restart:
		w.Service.Running, w.Service.Enabled, w.Service.Config, w.Service.Release = true, true, w.WrittenConfig, w.Carried
		if w.Service.Kind != operator.ProxyService {
			h.serve()
		}
	case operator.Claim:
		w.Data.Owner = s.Owner
	case operator.WriteFence:
		w.Fence = s.Fence
	case operator.CheckDisk:
		w.Disk.At = 1
	case operator.WriteSchedule:
		w.Schedule = s.Schedule
	case operator.TakeTurn:
		w.Turn.Holder = "etcd/0"
	case operator.ReleaseTurn:
		w.Turn.Holder = ""
	case operator.AwaitReady, operator.AwaitListed:
	default:
		return fmt.Errorf("no such step on this machine: %s", s)
	}
	return nil
}

// serve has all three members run.
func (h *fakeMachine) serve() {
	w := &h.world
	w.Service.Kind, w.Data = operator.MemberService, operator.Data{State: operator.OurData, ClusterID: 0xc1, MemberID: 1}
	w.Reach, w.ClusterID, w.Turn.Known = operator.Healthy, 0xc1, true
	w.Local = operator.Local{Live: true, Ready: true, ClusterID: 0xc1, MemberID: 1, Voters: 3}
	w.Members = nil
	for i := range 3 {
		w.Members = append(w.Members, operator.Member{
			ID: uint64(i + 1), Name: fmt.Sprintf("etcd%d", i), Answers: true, Ready: true, Version: "3.7.3", Leader: 3,
			PeerURLs: []string{fmt.Sprintf("https://10.0.0.%d:2380", i+5)}, ClientURLs: []string{fmt.Sprintf("https://10.1.0.%d:2379", i+5)},
		})
	}
}

// hook is one hook on the machine: what was done and is to be published, and all that status and action health say.
func hook(t *testing.T, f *fakeJuju, h *fakeMachine) (work []string, said string) {
	t.Helper()
	m := observe(t, f)
	p, w, err := operator.Reconcile(t.Context(), operator.Decide, operator.Event{}, m, h)
	require.NoError(t, err)
	for _, step := range w.Done {
		work = append(work, step.String())
	}
	for _, w := range p.Bags {
		work = append(work, fmt.Sprintf("bag %s %v: %v", w.Relation, w.App, map[string]string(w.Bag)))
	}
	if p.NewAuthority {
		work = append(work, "authorities")
	}
	if p.Ports != nil {
		work = append(work, fmt.Sprint("ports ", p.Ports))
	}
	said = "status: " + p.Status.Message
	for _, r := range operator.Examine(m, w).Reasons {
		said += "\nhealth: " + r.String()
	}
	return work, said
}

const released = "3.7.3-0123456789ab"

// newMachine is a machine on which the release is installed and nothing else.
func newMachine() *fakeMachine {
	return &fakeMachine{operator.World{Carried: released, Installed: released, Reach: operator.Absent, Period: 230}}
}

// TestFailedToolThatStopsWorkIsSpokenOf: whichever hook tool fails, in whatever way, what is not done for its sake is told in
// the status or in the health, by the tool's name.
func TestFailedToolThatStopsWorkIsSpokenOf(t *testing.T) {
	t.Parallel()
	ways := map[string]func(*fakeJuju, string){
		"refused": func(f *fakeJuju, key string) { f.fail[key] = refusal(tool(key), "ERROR connection is shut down") },
		"missing": func(f *fakeJuju, key string) { f.fail[key] = fmt.Errorf("cannot run %s: %w", tool(key), ErrNoTool) },
		"late": func(f *fakeJuju, key string) {
			f.fail[key] = fmt.Errorf("cannot run %s: %w", tool(key), context.DeadlineExceeded)
		},
		"silent":  func(f *fakeJuju, key string) { f.says[tool(key)] = "" },
		"garbage": func(f *fakeJuju, key string) { f.says[tool(key)] = strings.Repeat("{", 1000) },
	}
	for name, scene := range map[string]func() (*fakeJuju, *fakeMachine){
		"founding": func() (*fakeJuju, *fakeMachine) { return newFake(), newMachine() },
		"founding, no secret": func() (*fakeJuju, *fakeMachine) {
			f := newFake()
			f.secrets = map[string]secret{}
			return f, newMachine()
		},
		"a member with much due": dueMember,
		"a proxy":                dueProxy,
	} {
		f, h := scene()
		wanted, _ := hook(t, f, h)
		require.NotEmpty(t, wanted, "%s: the test's own ground", name)
		stops := map[string]bool{}
		for _, c := range f.calls {
			key := c.tool + " " + strings.Join(c.args, " ")
			for way, breakIt := range ways {
				f, h := scene()
				breakIt(f, key)
				work, said := hook(t, f, h)
				stopped := slices.DeleteFunc(slices.Clone(wanted), func(w string) bool { return slices.Contains(work, w) })
				if len(stopped) > 0 {
					stops[c.tool] = true
					assert.Contains(t, said, c.tool, "%s: %s is %s: not done: %q", name, key, way, stopped)
				}
			}
		}
		assert.True(t, stops["config-get"] && stops["relation-ids"], "%s: some tools matter: %v", name, stops)
	}
}

func tool(key string) string { name, _, _ := strings.Cut(key, " "); return name }

// dueMember is the leader of three members, with a consumer to be told, certificates to be renewed, other settings to be
// taken up and a record to be written.
func dueMember() (*fakeJuju, *fakeMachine) {
	f, h := healthy(1), newMachine()
	f.app = etcdcluster.EncodeApp(operator.AppBag{ClusterID: 0xc1, Authority: "of before"})
	h.serve()
	h.world.Service.Running, h.world.Service.Release = true, released
	h.world.Service.Config, h.world.WrittenConfig = "of before", "of before"
	h.world.Service.PeerURL, h.world.Service.ClientURL = h.world.Members[0].PeerURLs[0], h.world.Members[0].ClientURLs[0]
	return f, h
}

// dueProxy is a proxy that has heard of its cluster for the first time.
func dueProxy() (*fakeJuju, *fakeMachine) {
	f := newFake()
	f.config["role"] = "proxy"
	f.ids["upstream"] = []string{"upstream:4"}
	f.remote["upstream:4"] = map[string]databag.Bag{"kv/0": {"cluster": "a=http://10.0.0.1:2380"}}
	return f, newMachine()
}

// TestStatusNamesTheToolThatKeepsWordFromConsumers: consumers are told nothing because one tool failed, and the status says so first.
func TestStatusNamesTheToolThatKeepsWordFromConsumers(t *testing.T) {
	t.Parallel()
	for tool, want := range map[string]string{
		"state-get": "status: consumers unknown: cannot read what this unit remembers: state-get: gone",
		"is-leader": "status: leader unknown: is-leader: gone; 3/3 voters",
	} {
		f, h := dueMember()
		f.fail[tool] = errors.New(tool + ": gone")
		_, said := hook(t, f, h)
		assert.Equal(t, want, strings.Split(said, "\n")[0])
	}
}
