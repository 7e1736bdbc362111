package fate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

const (
	// A connection is certainly younger than 5 s until this long after its process began, and
	// certainly older from this long after it was first seen. In between its age is uncertain, so
	// nothing is asked.
	surelyYoung = 3 * time.Second
	surelyOld   = youngSeconds*time.Second + 300*time.Millisecond
	settleTime  = 90 * time.Second
)

// twin is one cluster twice: in the model, and as real servers.
type twin struct {
	t       *testing.T
	sim     *Sim
	servers []*server         // by number of the unit
	ids     map[uint64]uint64 // the model's IDs to etcd's
	net     string
	leader  [2]uint64 // etcd's, and its term
	told    []string
}

// newTwin starts a cluster of some voters; the other units wait to join.
func newTwin(t *testing.T, etcd string, voters, units int) *twin {
	t.Helper()
	w := &twin{t: t, sim: New(Options{}), ids: map[uint64]uint64{}, net: freshNetwork(t)}
	t.Cleanup(w.end)
	dir := t.TempDir()
	var initial []string
	for i := range units {
		w.sim.AddUnit()
		u, name := w.sim.units[i], fmt.Sprint("etcd", i)
		u.disk.installed = u.carried
		u.disk.tls.Revoked, u.disk.tls.PeerList = "none", true
		u.disk.tls.Peer.Present, u.disk.tls.Server.Present = true, true
		w.servers = append(w.servers, &server{etcd: etcd, name: name, dir: filepath.Join(dir, name)})
		initial = append(initial, name+"="+address(u.address, peerPort))
	}
	for i, u := range w.sim.units[:voters] {
		if i > 0 { // the model founds with one member, and the others are added as if they had joined
			m := &member{id: w.group().id + 8*uint64(i), peerURL: address(u.address, peerPort), owner: u}
			w.group().members = append(w.group().members, m)
			u.disk.data = &data{cluster: w.group().id, member: m.id}
		}
		w.launch(u, operator.Initial{New: true, Token: w.net, Cluster: strings.Join(initial[:voters], ",")})
	}
	w.learnIDs()
	return w
}

// learnIDs waits for the first members and maps the model's IDs to theirs.
func (w *twin) learnIDs() {
	w.t.Helper()
	require.True(w.t, until(func() bool {
		for _, listed := range w.servers[0].look(w.t.Context()).list {
			for _, m := range w.group().members {
				if w.real(m.peerURL) == listed.PeerURLs[0] {
					w.ids[m.id] = listed.ID
				}
			}
		}
		return len(w.ids) == len(w.group().members)
	}), "the first servers do not come up: %s", w.log(w.sim.units[0]))
}

// end ends all servers.
func (w *twin) end() {
	for _, s := range w.servers {
		s.end(syscall.SIGKILL)
	}
}

const peerPort, clientPort = 2380, 2379

func (w *twin) group() *group { return w.sim.groups[0] }

func (w *twin) real(text string) string {
	return strings.ReplaceAll(text, "https://10.0.0.", "http://"+w.net)
}

func (w *twin) tell(format string, args ...any) {
	w.told = append(w.told, fmt.Sprintf(format, args...))
}

func (w *twin) log(u *unit) string {
	text, err := os.ReadFile(w.servers[u.number].dir + ".log")
	if err != nil {
		return err.Error()
	}
	return u.name + ": " + string(text[max(0, len(text)-500):])
}

// launch starts a unit's server on both sides.
func (w *twin) launch(u *unit, initial operator.Initial) {
	u.disk.written = &operator.Server{
		Name: w.servers[u.number].name, Release: u.carried, PeerURL: address(u.address, peerPort), ClientURL: address(u.address, clientPort),
		Config: operator.Config{Port: clientPort, ManagementPort: peerPort}, Initial: initial,
	}
	w.sim.launch(u, true)
	u.process.started = w.sim.now - bootSeconds
	state := "existing"
	if initial.New {
		state = "new"
	}
	w.servers[u.number].start(w.t, fmt.Sprint(w.net, u.address), state, w.net, w.real(initial.Cluster))
}

func (w *twin) stop(u *unit, sig syscall.Signal) {
	u.process = process{}
	w.servers[u.number].end(sig)
}

// wipe puts a unit's data aside.
func (w *twin) wipe(u *unit) {
	w.stop(u, syscall.SIGKILL)
	u.disk.data = nil
	s := w.servers[u.number]
	require.NoError(w.t, os.RemoveAll(s.dir))
}

// look asks every server that runs.
func (w *twin) look() map[*unit]view {
	out := map[*unit]view{}
	for _, u := range w.sim.units {
		if s := w.servers[u.number]; s.alive() && s.client != nil {
			out[u] = s.look(w.t.Context())
		}
	}
	return out
}

// until waits for something.
func until(done func() bool) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(settleTime); !done(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// settle waits until the real cluster is as the model is. Where chance decides, the model follows:
// who leads, and how long the log is.
func (w *twin) settle() {
	w.t.Helper()
	var difference string
	if !until(func() bool { difference = w.difference(); return difference == "" }) {
		w.fail(difference)
	}
	for _, s := range w.servers {
		s.process.see()
		s.url.see()
	}
}

func (w *twin) fail(problem string) {
	w.t.Helper()
	for u := range w.look() {
		w.t.Log(w.log(u))
	}
	w.t.Fatalf("%s\n%s", strings.Join(w.told, "\n"), problem)
}

// difference returns the first difference between the two.
func (w *twin) difference() string {
	seen, g := w.look(), w.group()
	w.follow(seen)
	for range 2 {
		w.sim.raft() // the second call is for members that the first one let in
	}
	led := w.sim.led(g)
	for _, u := range w.sim.units {
		v, runs := seen[u]
		if runs != u.process.running {
			return fmt.Sprintf("%s runs: %v, in the model: %v", u.name, runs, u.process.running)
		}
		own, m := w.sim.own(u)
		if own == nil || m == nil {
			continue
		}
		if led == nil && !m.learner && v.status != nil && v.status.Leader != 0 { // a learner never gives its leader up
			return fmt.Sprintf("%s knows a leader, the model has none", u.name)
		}
		if ready := w.sim.ready(g, m); ready != v.linear {
			return fmt.Sprintf("%s is ready: %v, in the model: %v", u.name, v.linear, ready)
		}
		if d := w.listDifference(v); d != "" {
			return u.name + ": " + d
		}
		for _, other := range g.members {
			want := w.sim.runs(g, other) && w.sim.dialled(m, other)
			if got := v.active[fmt.Sprintf("%x", w.ids[other.id])]; other != m && got != want {
				return fmt.Sprintf("for %s, %s is active: %v, in the model: %v", u.name, other.owner.name, got, want)
			}
		}
		if led != nil && w.sim.linked(led, m) && (v.status == nil || int(v.status.RaftAppliedIndex) != g.index) {
			return fmt.Sprintf("%s has not applied %d", u.name, g.index)
		}
	}
	return ""
}

// follow makes the real leader the model's, and the model's log as long as the real one.
func (w *twin) follow(seen map[*unit]view) {
	g := w.group()
	for u, v := range seen {
		own, m := w.sim.own(u)
		if own != g || m == nil || v.status == nil || v.status.Leader != w.ids[m.id] || !v.linear {
			continue
		}
		if now := [2]uint64{v.status.Leader, v.status.RaftTerm}; now != w.leader {
			w.leader = now
			g.lead(m)
		}
		g.index, u.disk.data.index = int(v.status.RaftIndex), int(v.status.RaftIndex)
	}
}

func (w *twin) listDifference(v view) string {
	if !v.linear {
		return ""
	}
	var want, got []string
	for _, m := range w.group().members {
		want = append(want, fmt.Sprintf("%x %q %s %s learner %v", w.ids[m.id], m.name, w.real(m.peerURL), w.real(m.clientURL), m.learner))
	}
	for _, m := range v.list {
		got = append(got, fmt.Sprintf("%x %q %s %s learner %v", m.ID, m.Name, strings.Join(m.PeerURLs, ","), strings.Join(m.ClientURLs, ","), m.IsLearner))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		return fmt.Sprintf("lists\n%s\nthe model\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return ""
}

// age waits until the age of each connection is certain, or until all are old, and passes the ages
// to the model.
func (w *twin) age(old bool) {
	w.t.Helper()
	ages := func(wanted func(birth) bool) bool {
		return !slices.ContainsFunc(w.servers, func(s *server) bool {
			return s.alive() && (!wanted(s.process) || !wanted(s.url))
		})
	}
	if old || !ages(func(b birth) bool { return b.young() || b.old() }) {
		require.True(w.t, until(func() bool { return ages(birth.old) }))
	}
	for i, s := range w.servers {
		u := w.sim.units[i]
		u.process.started = s.process.since(w.sim.now)
		for _, m := range w.group().members {
			if m.owner == u {
				m.changed = s.url.since(w.sim.now)
			}
		}
	}
}

// doubtful returns why an answer proves nothing: a connection came of age, or an election took
// place, while it was asked.
func (w *twin) doubtful() string {
	for _, s := range w.servers {
		if s.alive() && (s.process.doubtful() || s.url.doubtful()) {
			return s.name + " has come of age meanwhile"
		}
	}
	before := w.leader
	if w.follow(w.look()); before != w.leader {
		return "there was an election meanwhile"
	}
	return ""
}

// answer returns an error in etcd's words. No answer, and the answer that there is no leader, count
// as the same.
func answer(err error) string {
	var said rpctypes.EtcdError
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, errTimeout), errors.Is(err, errNobody), errors.Is(err, context.DeadlineExceeded):
		return "no answer"
	case errors.As(err, &said):
		if said.Code() == codes.Unavailable && !errors.Is(err, rpctypes.ErrUnhealthy) {
			return "no answer"
		}
		return said.Error()
	case status.Code(err) == codes.DeadlineExceeded, status.Code(err) == codes.Unavailable:
		return "no answer"
	}
	return err.Error()
}

var errNobody = errors.New("no member with a quorum can be asked")
