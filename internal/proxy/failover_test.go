package proxy

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// nodeBehind returns the node that a client's connection leads to.
func (c *cluster) nodeBehind(tb testing.TB, cli *clientv3.Client) *node {
	tb.Helper()
	id, err := memberBehind(within(tb, 5*time.Second), cli)
	require.NoError(tb, err)
	return c.nodeByID(tb, id)
}

func (c *cluster) nodeByID(tb testing.TB, id uint64) *node {
	tb.Helper()
	list, err := c.client(tb).MemberList(within(tb, 5*time.Second))
	require.NoError(tb, err)
	for _, m := range list.Members {
		if m.ID == id {
			i := slices.IndexFunc(c.nodes, func(n *node) bool { return n.name == m.Name })
			require.GreaterOrEqual(tb, i, 0)
			return c.nodes[i]
		}
	}
	tb.Fatalf("no member %x", id)
	return nil
}

// followerBehind returns the node behind cli, and makes sure that it does not lead.
func (c *cluster) followerBehind(tb testing.TB, cli *clientv3.Client) *node {
	tb.Helper()
	n := c.nodeBehind(tb, cli)
	direct := c.client(tb)
	ctx := within(tb, 10*time.Second)
	st, err := direct.Status(ctx, n.member.ClientURL)
	require.NoError(tb, err)
	if st.Leader != st.Header.MemberId {
		return n
	}
	for _, o := range c.nodes {
		if o == n {
			continue
		}
		so, err := direct.Status(ctx, o.member.ClientURL)
		require.NoError(tb, err)
		// Only the leader answers MoveLeader.
		creds, err := loadCredentials(c.creds)
		require.NoError(tb, err)
		lead := newClient(tb, clientv3.Config{Endpoints: []string{n.member.ClientURL}, TLS: creds.base.Clone()})
		_, err = lead.MoveLeader(ctx, so.Header.MemberId)
		require.NoError(tb, err)
		break
	}
	return n
}

// untilServed retries a linearizable read and a write, each attempt limited,
// and returns how long it took until both had passed.
func untilServed(tb testing.TB, cli *clientv3.Client, attempt, limit time.Duration) time.Duration {
	tb.Helper()
	start := time.Now()
	for {
		ctx, cancel := context.WithTimeout(tb.Context(), attempt)
		_, err := cli.Get(ctx, "failover")
		if err == nil {
			_, err = cli.Put(ctx, "failover", "x")
		}
		cancel()
		took := time.Since(start)
		if err == nil {
			return took
		}
		require.Less(tb, took, limit, "still: %v", err)
	}
}

// TestMemberDies: the member in use dies or hangs, the client goes on.
func TestMemberDies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		signal   syscall.Signal
		follower bool
		limit    time.Duration
	}{
		{"a follower is killed", syscall.SIGKILL, true, 1200 * time.Millisecond},
		{"a follower hangs", syscall.SIGSTOP, true, 5 * time.Second},
		{"any member is killed", syscall.SIGKILL, false, 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, clusterOptions{size: 3})
			r := startProxy(t, c.config())
			cli := r.client(t)
			n := c.nodeBehind(t, cli)
			if tt.follower {
				n = c.followerBehind(t, cli)
			}
			untilServed(t, cli, time.Second, 5*time.Second)
			n.signal(t, tt.signal)
			// The margin is for a machine shared with other tests.
			took := untilServed(t, cli, time.Second, 10*tt.limit+20*time.Second)
			t.Logf("%s: served again after %s (aim %s)", tt.name, took, tt.limit)
			assert.NotEqual(t, n, c.nodeBehind(t, cli), "the connection stayed with the lost member")
			assert.Contains(t, r.log.String(), n.name)
		})
	}
}

// TestHungMemberComesBack: a member that was stopped and goes on is used again.
func TestHungMemberComesBack(t *testing.T) {
	t.Parallel()
	c := startCluster(t, clusterOptions{size: 3})
	r := startProxy(t, c.config())
	n := c.followerBehind(t, r.client(t))
	n.signal(t, syscall.SIGSTOP)
	untilServed(t, r.client(t), time.Second, 15*time.Second)
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "connections moved away") },
		15*time.Second, 20*time.Millisecond)
	n.signal(t, syscall.SIGCONT)
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "member answers again") },
		20*time.Second, 50*time.Millisecond)
	// It carries no connection, so the next one goes to it.
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		id, err := memberBehind(ctx, r.client(t))
		return err == nil && c.nodeByID(t, id) == n
	}, 2*time.Minute, 50*time.Millisecond)
}

// TestNoQuorumAnywhere: if no member passes, connections stay where they are and serve as soon as
// the quorum is back.
func TestNoQuorumAnywhere(t *testing.T) {
	t.Parallel()
	c := startCluster(t, clusterOptions{size: 3})
	r := startProxy(t, c.config())
	cli := r.client(t)
	used := c.nodeBehind(t, cli)
	for _, n := range c.nodes {
		if n != used {
			n.signal(t, syscall.SIGSTOP)
		}
	}
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "no member is healthy") },
		20*time.Second, 20*time.Millisecond)
	_, err := memberBehind(within(t, 5*time.Second), cli)
	require.NoError(t, err, "serializable reads go on")
	for _, n := range c.nodes {
		if n != used {
			n.signal(t, syscall.SIGCONT)
		}
	}
	untilServed(t, cli, time.Second, 20*time.Second)
	assert.Equal(t, used, c.nodeBehind(t, cli))
	assert.NotContains(t, r.log.String(), "connections moved away")
}

// TestMembershipFollowed: the file names one member, then another, then two,
// one of them a learner; the same client goes where the file says.
func TestMembershipFollowed(t *testing.T) {
	t.Parallel()
	c := startCluster(t, clusterOptions{size: 1})
	first := c.nodes[0]
	learner := c.newNode(t, "learner", c.ca)
	direct := c.client(t)
	_, err := direct.MemberAddAsLearner(within(t, 10*time.Second), []string{learner.member.PeerURL})
	require.NoError(t, err)
	learner.args = append(learner.args, "--initial-cluster-state", "existing",
		"--initial-cluster", first.name+"="+first.member.PeerURL+","+learner.name+"="+learner.member.PeerURL)
	c.nodes = append(c.nodes, learner)
	learner.start(t)

	cfg := c.config()
	only := func(ms ...Member) Config { return Config{Members: ms, Credentials: c.creds} }
	r := startProxy(t, only(learner.member))
	cli := r.client(t)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		id, err := memberBehind(ctx, cli)
		return err == nil && c.nodeByID(t, id) == learner
	}, 2*time.Minute, 50*time.Millisecond, "with nothing better a learner has to do")

	r.write(t, cfg) // both, with client URLs: the learner fails the health check
	untilServed(t, cli, time.Second, 15*time.Second)
	assert.Equal(t, first, c.nodeBehind(t, cli))

	bare := cfg // both, without: /members says which is a learner
	bare.Members = slices.Clone(cfg.Members)
	for i := range bare.Members {
		bare.Members[i].ClientURL = ""
	}
	r.write(t, bare)
	require.Eventually(t, func() bool {
		return strings.Contains(r.log.String(), `msg="member dropped" member=learner`)
	}, 2*time.Minute, 20*time.Millisecond)
	untilServed(t, cli, time.Second, 10*time.Second)
	got := Probe(within(t, 10*time.Second), bare)
	require.Len(t, got, 1)
	assert.Equal(t, first.name, got[0].Name)

	got = Probe(within(t, 10*time.Second), only(learner.member))
	require.Len(t, got, 1)
	assert.True(t, got[0].Reachable)
	assert.Contains(t, got[0].Error, "cannot read through the quorum", "a learner serves no write")
}
