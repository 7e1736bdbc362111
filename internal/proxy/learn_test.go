package proxy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/juju-charms/etcd-charm/interfaces/address"
)

// move restarts a member on another client port.
func (c *cluster) move(tb testing.TB, n *node, port string) {
	tb.Helper()
	n.kill()
	old := n.member.ClientURL
	n.member.ClientURL = old[:strings.LastIndex(old, ":")+1] + port
	for i, arg := range n.args {
		n.args[i] = strings.ReplaceAll(arg, old, n.member.ClientURL)
	}
	n.gone = make(chan struct{})
	n.start(tb)
}

// TestMembersMove: every member moves to another client port while nobody writes the configuration,
// and clients go on. A proxy that is started again afterwards knows the new ports, and so does a
// probe. A proxy with the same members and another configuration does not.
func TestMembersMove(t *testing.T) {
	t.Parallel()
	c := startCluster(t, clusterOptions{size: 3})
	cfg := c.config()
	cfg.Learned = filepath.Join(t.TempDir(), "members.json")
	r := startProxy(t, cfg)
	cli := r.client(t)
	untilServed(t, cli, 5*time.Second, time.Minute)
	for _, n := range c.nodes {
		// As a rolling restart does: the next when this one is ready, and clients have had time to
		// ask.
		seen := strings.Count(r.log.String(), "member added")
		c.move(t, n, "4001")
		require.Eventually(t, func() bool { return strings.Count(r.log.String(), "member added") > seen },
			time.Minute, 20*time.Millisecond, "the member is not followed: %s", c.logs())
		untilServed(t, cli, 5*time.Second, time.Minute)
	}
	untilServed(t, r.client(t), 5*time.Second, time.Minute)
	assert.NotContains(t, r.log.String(), "turned away")
	r.stop()

	for _, probe := range Probe(within(t, time.Minute), cfg) {
		assert.True(t, probe.Reachable, "%+v", probe)
		assert.Contains(t, probe.ClientURL, ":4001")
	}
	again := startProxy(t, cfg)
	untilServed(t, again.client(t), 5*time.Second, time.Minute)

	other := cfg
	other.Members = cfg.Members[:2]
	learned, err := readLearned(cfg.Learned, other, nil)
	require.NoError(t, err)
	assert.Empty(t, learned)
}

// TestMemberLeaves: a removed member is not used any more, though it is configured.
func TestMemberLeaves(t *testing.T) {
	t.Parallel()
	c := startCluster(t, clusterOptions{size: 3})
	cfg := c.config()
	r := startProxy(t, cfg)
	cli := r.client(t)
	n := c.followerBehind(t, cli)
	direct := c.client(t)
	ctx := within(t, time.Minute)
	list, err := direct.MemberList(ctx)
	require.NoError(t, err)
	i := slices.IndexFunc(list.Members, func(m *pb.Member) bool { return m.Name == n.name })
	// etcd removes nobody until its members have been connected for five seconds.
	require.Eventually(t, func() bool {
		_, err := direct.MemberRemove(ctx, list.Members[i].ID)
		return err == nil
	}, time.Minute, 100*time.Millisecond)
	require.Eventually(t, func() bool {
		return strings.Contains(r.log.String(), `msg="member dropped" member=`+n.name)
	}, time.Minute, 20*time.Millisecond)
	untilServed(t, cli, 5*time.Second, time.Minute)
}

func TestLearned(t *testing.T) {
	t.Parallel()
	creds := Credentials{CA: "a", Cert: "b", Key: "c"}
	voter := func(name, host, port string) listedMember {
		return listedMember{Name: name, PeerURLs: []string{"https://" + host + ":2380"}, ClientURLs: []string{"https://" + host + ":" + port}}
	}
	learner := voter("l", "10.0.0.9", "1")
	learner.IsLearner = true
	unstarted := listedMember{PeerURLs: []string{"https://10.0.0.8:2380"}}
	member := func(name, host string) Member {
		return Member{Name: name, PeerURL: "https://" + host + ":2380", ClientURL: "https://" + host + ":1"}
	}
	a, b := member("a", "10.0.0.1"), member("b", "10.0.0.2")
	url := func(host, port string) string { return "https://" + host + ":" + port }
	for name, test := range map[string]struct {
		members   []Member
		list      []listedMember
		old       bool
		want      []string
		wantSpare []string
	}{
		"nothing learned": {members: []Member{a, b}, want: []string{a.ClientURL, b.ClientURL}},
		"the same":        {members: []Member{a}, list: []listedMember{voter("a", "10.0.0.1", "1")}, want: []string{a.ClientURL}},
		"moved":           {members: []Member{a}, list: []listedMember{voter("a", "10.0.0.1", "2")}, want: []string{a.ClientURL}, wantSpare: []string{url("10.0.0.1", "2")}},
		"joined":          {members: []Member{a}, list: []listedMember{voter("a", "10.0.0.1", "1"), voter("c", "10.0.0.3", "1")}, want: []string{a.ClientURL}, wantSpare: []string{url("10.0.0.3", "1")}},
		"left":            {members: []Member{a, b}, list: []listedMember{voter("a", "10.0.0.1", "1")}, want: []string{a.ClientURL}},
		"left, by a list of before": {
			members: []Member{a, b}, list: []listedMember{voter("a", "10.0.0.1", "1")}, old: true, want: []string{a.ClientURL, b.ClientURL},
		},
		"called otherwise": {
			members: []Member{{Name: "x", ClientURL: "https://host:1"}}, list: []listedMember{voter("a", "10.0.0.1", "1")},
			want: []string{"https://host:1"}, wantSpare: []string{url("10.0.0.1", "1")},
		},
		"known by the client URL": {
			members: []Member{{ClientURL: a.ClientURL}, {ClientURL: b.ClientURL}}, list: []listedMember{voter("a", "10.0.0.1", "1")},
			want: []string{a.ClientURL},
		},
		"voters that have started, alone": {members: []Member{a}, list: []listedMember{voter("a", "10.0.0.1", "1"), learner, unstarted}, want: []string{a.ClientURL}},
		"to this machine": {
			members: []Member{a}, list: []listedMember{voter("a", "10.0.0.1", "1"), voter("e", "127.0.0.1", "2379"), voter("f", "127.0.0.1", "1"), voter("g", "169.254.1.1", "1")},
			want: []string{a.ClientURL},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Config{Listen: []string{"127.0.0.1:2379"}, Members: test.members, Credentials: creds}
			configured, spare := targets(c, nil, learned{Under: identity(c, nil), Members: test.list, old: test.old}).split()
			urls := func(ts []target) (out []string) {
				for _, t := range ts {
					out = append(out, t.url)
				}
				return out
			}
			assert.Equal(t, test.want, urls(configured))
			assert.Equal(t, test.wantSpare, urls(spare))
		})
	}
}

// TestLearnedIsBound: a list belongs to its configuration and authority. It survives a change that
// keeps a member, and no other.
func TestLearnedIsBound(t *testing.T) {
	t.Parallel()
	a, b := Member{Name: "a", ClientURL: "https://h:1"}, Member{Name: "b", ClientURL: "https://h:2"}
	one, two := Config{Members: []Member{a}}, Config{Members: []Member{a, b}}
	foreign := Config{Members: []Member{{Name: "x", ClientURL: "https://h:9"}}}
	authority := &credentials{ca: []byte("other")}
	l := learned{Under: identity(one, nil), Cluster: 7, Members: []listedMember{{Name: "a", ClientURLs: []string{"https://h:1"}}}}
	assert.False(t, l.of(one, nil).old)
	assert.Equal(t, uint64(7), l.of(two, nil).Cluster)
	assert.True(t, l.of(two, nil).old)
	assert.True(t, l.of(one, authority).old)
	assert.Empty(t, l.of(foreign, nil))
	assert.Empty(t, l.of(Config{Members: []Member{{Name: "a", ClientURL: "https://h:9"}}}, nil), "a name is no address")

	path := filepath.Join(t.TempDir(), "members.json")
	none, err := readLearned(path, one, nil)
	require.NoError(t, err)
	assert.Empty(t, none)
	require.NoError(t, l.write(path))
	back, err := readLearned(path, one, nil)
	require.NoError(t, err)
	assert.True(t, back.same(l))
	for _, c := range []Config{two, foreign} {
		none, err := readLearned(path, c, nil)
		require.NoError(t, err)
		assert.Empty(t, none)
	}
	none, err = readLearned(path, one, authority)
	require.NoError(t, err)
	assert.Empty(t, none)
	for _, damage := range []string{"", "{", "[]", strings.Repeat(" ", maxPEMBytes+1)} {
		require.NoError(t, os.WriteFile(path, []byte(damage), 0o600))
		none, err := readLearned(path, one, nil)
		require.Error(t, err, "%.10q", damage)
		assert.Empty(t, none)
	}
	// Root reads it too, in hooks, and the user who may write it must not choose what root opens. A
	// reader of /proc/kmsg, which is a regular file, waits for as long as the kernel says nothing.
	require.NoError(t, l.write(path+".other"))
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Symlink(path+".other", path))
	none, err = readLearned(path, one, nil)
	require.Error(t, err)
	assert.Empty(t, none)
	require.NoError(t, os.Remove(path+".other"))
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing is left beside it")
	require.Error(t, l.write(filepath.Join(path, "no directory")))
}

// TestOwnAddressIsNotDialled: a provider that names the proxy's own address, by number or by name,
// does not make it dial itself, and the log says so once.
func TestOwnAddressIsNotDialled(t *testing.T) {
	t.Parallel()
	good := startFakeEtcd(t, "g")
	r := startProxy(t, Config{})
	for _, own := range []string{"http://" + r.addr, "http://[::ffff:" + strings.Replace(r.addr, ":", "]:", 1)} {
		members := []Member{{Name: "own", ClientURL: own, PeerURL: own}, {Name: "peer", PeerURL: own}, good.member}
		r.write(t, Config{Members: members})
		require.Eventually(t, func() bool {
			return strings.Contains(r.log.String(), "url="+own) || strings.Contains(r.log.String(), `"`+own)
		},
			time.Minute, 10*time.Millisecond, "it is not said")
		for range 3 {
			resp, err := r.client(t).Put(within(t, time.Minute), "k", "v")
			require.NoError(t, err)
			assert.Equal(t, uint64('g'), resp.Header.ClusterId)
		}
	}
	assert.Contains(t, r.log.String(), "it is this machine's own")
	assert.NotContains(t, r.log.String(), "member=own")
	assert.NotContains(t, r.log.String(), "client closed", "nobody dialled it by TLS")

	// What a name resolves to is known when it is dialled.
	judge := Config{Listen: []string{r.addr}}.judge()
	_, err := dial(t.Context(), target{addr: r.addr, judge: &judge}, nil, alpnH2)
	require.ErrorContains(t, err, ", this machine's own")
	_, err = dial(t.Context(), target{addr: "localhost:1", judge: &judge}, nil, alpnH2)
	require.ErrorContains(t, err, "a loopback address")

	// It listens there too, where it can.
	judge = Config{
		Listen: []string{"127.0.0.1:2379"}, Also: []string{"[::1]:2379"}, Members: []Member{{ClientURL: "http://127.0.0.1:1"}},
	}.judge()
	assert.Equal(t, address.Own, judge.HostPort("[::1]:2379"))
	assert.Equal(t, address.Fit, judge.HostPort("[::1]:1"))
}

// TestProviderOnTheSameMachine: a hosts file may give the machine's own name a loopback address,
// and a member on the same machine may be named so.
func TestProviderOnTheSameMachine(t *testing.T) {
	t.Parallel()
	own, err := os.Hostname()
	require.NoError(t, err)
	judge := Config{Listen: []string{"127.0.0.1:2379"}}.judge()
	named := func(host, place string) error { return target{host: host, judge: &judge}.judged(place) }
	require.NoError(t, named(own, "127.0.1.1:2379"))
	require.NoError(t, named(own+".example", "127.0.1.1:2379"))
	require.ErrorContains(t, named(own, "127.0.0.1:2379"), ", this machine's own")
	require.ErrorContains(t, named("x"+own, "127.0.1.1:2379"), "a loopback address")
	require.ErrorContains(t, named(own, "169.254.1.1:2379"), "a link-local address")
}
