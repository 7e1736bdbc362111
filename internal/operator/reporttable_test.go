package operator

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTable holds tables against testdata/report; UPDATE_GOLDEN=1 writes them again.
func TestTable(t *testing.T) {
	t.Parallel()
	for name, scene := range map[string]func() (Model, World){
		"three": func() (Model, World) {
			m, w := healthyCluster(3)
			m.Relations = consuming(m, "proxy:3")
			return m, w
		},
		"one":  func() (Model, World) { return healthyCluster(1) },
		"lost": lostCluster,
		"no-quorum": func() (Model, World) {
			m, w := healthyCluster(3)
			return m, withoutQuorum(w)
		},
		"trouble": troubledCluster,
		"proxy": func() (Model, World) {
			m, w := healthyProxy(3)
			w.Upstream[1] = UpstreamProbe{Name: "etcd1", PeerURL: "https://10.0.0.11:2380", Error: "connection refused"}
			return m, w
		},
		"proxy-alone": func() (Model, World) {
			m, w := healthyProxy(0)
			m.Relations = related(m, upstreamEndpoint)
			return m, w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Examine(scene()).Table()
			file := filepath.Join("testdata", "report", name+".txt")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
			for line := range strings.Lines(got) {
				assert.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), tableWidth)
			}
		})
	}
}

// troubledCluster has one of each trouble: IPv6, a full member, a silent one, a learner, an orphan,
// two versions.
func troubledCluster() (Model, World) {
	m, w := healthyCluster(5)
	m.Units.Value["etcd/5"] = Alive
	m = gone(m, 4)
	w.Members[0].PeerURLs = []string{"https://[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:2380"}
	w.Members[0].ClientURLs = []string{"https://[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:2379", "https://etcd-0.example:2379"}
	w.Members[0].ID, w.Members[0].Index, w.Members[0].Applied = 0x8e9e05c52164694d, 1234567890, 1234567890
	w.Members[0].DBSize, w.Members[0].RTT, w.Members[0].Version = 2<<30, 1230*time.Millisecond, "3.6.14"
	w.Members[0].Errors = []string{strings.Repeat("memberID:10276657743932975437 alarm:NOSPACE ", 4)}
	w.Members[1].Learner, w.Members[1].CertRemaining = true, -time.Hour
	w.Members[2].Name, w.Members[2].Learner = "", true
	w = down(w, 3)
	w.Data.MemberID = w.Members[0].ID
	w.Alarms = []Alarm{{w.Members[0].ID, "NOSPACE"}}
	w.Turn.Holder = "etcd/3"
	return m, w
}

func TestWrapKeepsEveryWord(t *testing.T) {
	t.Parallel()
	text := strings.TrimSpace(strings.Repeat("word ", 100))
	got := wrap("because", text)
	assert.Equal(t, "because "+text, strings.Join(strings.Fields(got), " "))
	assert.Greater(t, strings.Count(got, "\n"), 3)
}

func TestCells(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ got, want string }{
		{size(0), "0 B"},
		{size(-1), "0 B"},
		{size(24 << 20), "24 MiB"},
		{size(2 << 30), "2 GiB"},
		{size(5<<30 + 1<<29), "5.5 GiB"},
		{quotaText(0), "-"},
		{percent(-1), "-"},
		{percent(0), "0%"},
		{lifetime(0), "-"},
		{lifetime(-time.Second), "expired"},
		{lifetime(time.Hour), "1h"},
		{lifetime(47*time.Hour + 59*time.Minute), "47h"},
		{lifetime(2 * day), "2d"},
		{lifetime(365*day - time.Second), "364d"},
		{roundTrip(0), "-"},
		{roundTrip(1234567), "1.23ms"},
		{roundTrip(123456789), "123ms"},
		{roundTrip(1234567890), "1.23s"},
		{clip("abcdef", 6), "abcdef"},
		{clip("abcdefg", 6), "abcde…"},
		{singleLine("a\x00b\tc\nd\xff é"), "a b c d? é"},
		{slug("etcd/0"), "etcd-0"},
		{slug("//Ü"), "unnamed"},
		{firstThree([]string{"a", "b", "c"}), "a, b, c"},
		{firstThree([]string{"a", "b", "c", "d"}), "a, b, c and 1 more"},
	} {
		assert.Equal(t, tc.want, tc.got)
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	m.Relations = consuming(m, "proxy:3")
	got := Examine(m, w).Values()
	checkValues(t, got)
	for key, want := range map[string]string{
		"health": "healthy", "margin": "1", "quorum": "2", "voters": "3", "voters-ready": "3", "voters-reachable": "3", "learners": "0",
		"leader": "etcd/2", "cluster-id": "c1", "term": "2", "versions": "3.7.3", "states": "proxy.connected", "certificate": "364d",
		"reach": "healthy", "role": "member", "survival": "survives 1 failure",
	} {
		assert.Equal(t, want, got[key], key)
	}
	members := got["members"].(map[string]any)
	require.Len(t, members, 3)
	assert.Equal(t, map[string]any{
		"unit": "etcd/1", "name": "etcd1", "id": "2", "role": "voter", "answers": "yes", "ready": "yes",
		"peer-urls": "https://10.0.0.11:2380", "client-urls": "https://10.0.0.11:2379", "version": "3.7.3", "storage-version": "3.7.0",
		"db-size": "25165824", "db-in-use": "20971520", "quota": "2147483648", "use-percent": "1",
		"term": "2", "index": "100", "applied": "100", "lag": "0", "round-trip": "2.46ms", "certificate": "364d",
	}, members["etcd1"])
}

func TestValuesKeepMembersOfOneUnitApart(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(2)
	w.Members = append(w.Members, Member{ID: 9, Learner: true, PeerURLs: w.Members[1].PeerURLs}, Member{ID: 10, PeerURLs: []string{"https://192.0.2.1:2380"}})
	m.Seen = append(m.Seen, 9, 10)
	got := Examine(m, w).Values()
	checkValues(t, got)
	members := got["members"].(map[string]any)
	assert.ElementsMatch(t, []string{"etcd0", "etcd1", "etcd1-9", "member-a"}, slices.Sorted(maps.Keys(members)))
	assert.Equal(t, "https://192.0.2.1:2380", got["members-without-unit"])
}

func TestValuesOfAProxy(t *testing.T) {
	t.Parallel()
	m, w := healthyProxy(2)
	w.Upstream[1] = UpstreamProbe{Name: "etcd0", Error: "connection\nrefused"}
	got := Examine(m, w).Values()
	checkValues(t, got)
	assert.Equal(t, "1", got["members-reachable"])
	assert.Equal(t, "2", got["members-known"])
	assert.Equal(t, "127.0.0.1:2379", got["listen"])
	members := got["members"].(map[string]any)
	assert.Equal(t, "connection refused", members["etcd0-2"].(map[string]any)["errors"])
}

// actionKey is Juju's rule for a part of a key of action-set.
var actionKey = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$`)

// checkValues checks that action-set accepts an action's values. Its t is that of ordinary and of
// rapid tests.
func checkValues(t require.TestingT, values map[string]any) {
	for key, value := range values {
		require.Regexp(t, actionKey, key)
		require.NotContains(t, []string{"stdout", "stderr"}, key)
		require.NotRegexp(t, "-encoding$", key)
		switch v := value.(type) {
		case string:
			require.NotEmpty(t, v, key)
			require.NotContains(t, v, "\x00")
		case map[string]any:
			require.NotEmpty(t, v, key)
			checkValues(t, v)
		default:
			require.Failf(t, "neither text nor map", "%s: %T", key, value)
		}
	}
}
