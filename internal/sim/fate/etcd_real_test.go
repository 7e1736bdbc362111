package fate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

var etcdSeed = flag.Uint64("etcd", 0, "live this one sequence of commands in the model and with real servers; 0 is a few")

// commands is the length of a sequence.
const commands = 14

// TestRealEtcd gives the same commands to the model and to real servers of the release that the
// charm carries. Both must give the same answers, and end with the same list.
func TestRealEtcd(t *testing.T) {
	t.Parallel()
	if *seed >= 0 {
		return
	}
	etcd := buildServer(t)
	if *etcdSeed > 0 {
		compare(t, etcd, *etcdSeed)
		return
	}
	for lane := range uint64(2) {
		t.Run(fmt.Sprint(lane), func(t *testing.T) {
			t.Parallel()
			for n, began := *first+lane, time.Now(); n == *first+lane || time.Since(began) < *long; n += 2 {
				t.Run(fmt.Sprint("seed=", n), func(t *testing.T) { compare(t, etcd, n) })
			}
		})
	}
}

// compare runs one sequence. A sequence whose timing proves nothing is run again.
func compare(t *testing.T, etcd string, seed uint64) {
	t.Helper()
	for range 5 {
		w := newTwin(t, etcd, int(1+seed%3), 5)
		c := &commander{twin: w, rand: rand.New(rand.NewPCG(seed, 0)), seen: map[string]int{}}
		spoilt := ""
		for c.left = commands; c.left > 0 && spoilt == ""; {
			c.left--
			spoilt = c.next()
		}
		w.end()
		if spoilt == "" {
			t.Logf("%v\n%s", c.seen, strings.Join(c.told, "\n"))
			return
		}
		t.Logf("seed %d is lived again: %s", seed, spoilt)
	}
	t.Fatal("this machine is too busy to tell what etcd answers")
}

// commander chooses random commands and gives them to both.
type commander struct {
	*twin
	rand *rand.Rand
	left int            // how many commands are left
	seen map[string]int // how often each answer came
}

// next gives one command.
func (c *commander) next() string {
	c.t.Helper()
	c.settle()
	c.age(c.rand.IntN(3) == 0)
	c.settle() // the log may have grown
	var choices []func() string
	add := func(weight int, do func() string) {
		for range weight {
			choices = append(choices, do)
		}
	}
	g := c.group()
	led := c.sim.led(g)
	for _, u := range c.sim.units {
		c.unitChoices(u, led, add)
	}
	for _, m := range g.members {
		c.memberChoices(m, add)
	}
	ghost := &member{id: 1, owner: c.sim.units[0]}
	add(1, func() string { return c.promote(ghost) })
	add(1, func() string { return c.remove(ghost) })
	add(1, func() string { return c.update(ghost, address(250, peerPort)) })
	if led != nil {
		add(2, func() string { return c.write(1 + c.rand.IntN(40)) })
	}
	return choices[c.rand.IntN(len(choices))]()
}

func (c *commander) listed(u *unit) *member {
	for _, m := range c.group().members {
		if m.owner == u {
			return m
		}
	}
	return nil
}

func (c *commander) unitChoices(u *unit, led *member, add func(int, func() string)) {
	m, runs := c.listed(u), u.process.running
	switch {
	case runs:
		add(2, func() string { return c.stopUnit(u) })
		add(1, func() string { return c.readdress(u) })
	case m != nil && u.disk.data != nil:
		add(4, func() string { return c.start(u, "") })
		if led == nil {
			add(12, func() string { return c.start(u, "") })
		}
	case m != nil:
		add(12, func() string { return c.start(u, c.initial()) })
		add(1, func() string { return c.start(u, c.servers[u.number].name+"="+m.peerURL) })
	case u.disk.data != nil && led != nil:
		add(2, func() string { return c.start(u, "") }) // it was removed: it must not serve
	}
	if m != nil || u.disk.data == nil || !runs {
		weight := 5
		if m != nil || len(c.group().members) > 3 {
			weight = 1
		}
		add(weight, func() string { return c.addLearner(u) })
	}
}

func (c *commander) memberChoices(m *member, add func(int, func() string)) {
	learner := 1
	if m.learner && c.sim.runs(c.group(), m) {
		learner = 20
	}
	add(learner, func() string { return c.promote(m) })
	add(2, func() string { return c.remove(m) })
	if other := c.group().members[0]; m != other && c.left == 0 {
		// The last command only: see the package comment on what etcd makes of a refused update.
		add(8, func() string { return c.update(m, other.peerURL) })
	}
	if m.owner.process.running && m.owner.process.peerURL != m.peerURL {
		add(6, func() string { return c.update(m, m.owner.process.peerURL) })
	}
}

// at returns a random member to ask; not the one that is to be removed, if there is another.
// Without a quorum the model returns none, and then any running server is asked.
func (c *commander) at(not *member) (*member, *server) {
	g := c.group()
	ready := func(m *member) bool { return c.sim.ready(g, m) }
	if c.sim.led(g) == nil {
		ready = func(m *member) bool { return c.sim.runs(g, m) && !m.learner }
	}
	var from []*member
	for _, m := range g.members {
		if ready(m) && m != not {
			from = append(from, m)
		}
	}
	if len(from) == 0 && not != nil && ready(not) {
		from = append(from, not)
	}
	if len(from) == 0 {
		return nil, nil
	}
	m := from[c.rand.IntN(len(from))]
	return m, c.servers[m.owner.number]
}

// both asks both and compares the answers.
func (c *commander) both(what string, not *member, model func(*member) error, etcd func(context.Context, *server) error) string {
	c.t.Helper()
	at, server := c.at(not)
	if at == nil {
		return ""
	}
	led := c.sim.led(c.group())
	patience := 10 * time.Second // etcd itself gives up after seven
	if led == nil {
		patience = 2 * time.Second
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	got := answer(etcd(ctx, server))
	if led == nil && got != "done" {
		got = "no answer" // it depends on chance which check fails first
	}
	want := answer(errNobody)
	if led != nil {
		want = answer(model(at))
	}
	spoilt := c.doubtful()
	c.tell("%s asks to %s: %s", at.owner.name, what, got)
	if got == want {
		c.seen[got]++
		return ""
	}
	if spoilt == "" {
		c.fail(fmt.Sprintf("to %s etcd answers %q, the model %q", what, got, want))
	}
	return spoilt
}

func (c *commander) addLearner(u *unit) string {
	if c.listed(u) == nil {
		c.wipe(u)
	}
	url := address(u.address, peerPort)
	if m := c.listed(u); m != nil {
		url = m.peerURL
	}
	var id uint64
	spoilt := c.both("add "+u.name, nil, func(at *member) error {
		return c.sim.add(c.group(), at, u, url, true)
	}, func(ctx context.Context, s *server) error {
		r, err := s.client.MemberAddAsLearner(ctx, []string{c.real(url)})
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			// etcd makes an ID from the URL and the second. Without this pause a new member could
			// get the ID of one that was added and removed in the same second, and a removed ID is
			// never accepted again.
			time.Sleep(time.Second)
			r, err = s.client.MemberAddAsLearner(ctx, []string{c.real(url)})
		}
		if err == nil {
			id = r.Member.ID
		}
		return err
	})
	if id != 0 {
		c.ids[c.sim.lastID] = id
		c.servers[u.number].url = born()
	}
	return spoilt
}

func (c *commander) promote(m *member) string {
	return c.both("promote "+c.called(m), nil, func(at *member) error {
		return c.sim.promote(c.group(), at, m.id)
	}, func(ctx context.Context, s *server) error {
		_, err := s.client.MemberPromote(ctx, c.id(m))
		return err
	})
}

func (c *commander) remove(m *member) string {
	return c.both("remove "+c.called(m), m, func(at *member) error {
		return c.sim.remove(c.group(), at, m.id)
	}, func(ctx context.Context, s *server) error {
		_, err := s.client.MemberRemove(ctx, c.id(m))
		return err
	})
}

func (c *commander) update(m *member, url string) string {
	changes := m.peerURL != url
	spoilt := c.both("list "+c.called(m)+" under "+url, nil, func(*member) error {
		return c.sim.update(c.group(), m.id, url)
	}, func(ctx context.Context, s *server) error {
		_, err := s.client.MemberUpdate(ctx, c.id(m), []string{c.real(url)})
		return err
	})
	if changes && m.peerURL == url {
		c.servers[m.owner.number].url = born()
	}
	return spoilt
}

func (c *commander) id(m *member) uint64 {
	if id := c.ids[m.id]; id != 0 {
		return id
	}
	return m.id
}

func (c *commander) called(m *member) string {
	if c.ids[m.id] == 0 {
		return "nobody"
	}
	return m.owner.name
}

// initial returns the member list as a new member's settings have it.
func (c *commander) initial() string {
	var out string
	for _, m := range c.group().members {
		out += "," + c.servers[m.owner.number].name + "=" + m.peerURL
	}
	return out[1:]
}

func (c *commander) start(u *unit, initial string) string {
	c.tell("start %s %s", u.name, initial)
	c.launch(u, operator.Initial{Cluster: initial})
	return ""
}

func (c *commander) stopUnit(u *unit) string {
	sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[c.rand.IntN(2)]
	c.tell("stop %s: %s", u.name, sig)
	c.stop(u, sig)
	return ""
}

// readdress starts a member again under an address that no other member knows.
func (c *commander) readdress(u *unit) string {
	c.tell("new address for %s", u.name)
	c.stop(u, syscall.SIGTERM)
	u.address += 20
	c.launch(u, operator.Initial{})
	return ""
}

func (c *commander) write(n int) string {
	at, server := c.at(nil)
	c.tell("write %d at %s", n, at.owner.name)
	for range n {
		ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
		_, err := server.client.Put(ctx, "key", "value")
		cancel()
		require.NoError(c.t, err)
		c.sim.commit(c.group())
	}
	return ""
}
