package host

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAlarm: a real server's status shows an alarm in the words that the survey parses.
func TestAlarm(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.config.QuotaBytes = 1 << 20
	a := f.add(t)
	id := a.found().Data.MemberID
	cl, err := a.access(nil).dial(a.word.ClientURL)
	require.NoError(t, err)
	defer cl.Close()
	a.eventually("no space", func(w operator.World) bool {
		_, _ = cl.Put(t.Context(), "k", strings.Repeat("x", 1<<19))
		return len(w.Alarms) > 0
	})
	w := a.look()
	assert.Equal(t, []operator.Alarm{{MemberID: id, Kind: "NOSPACE"}}, w.Alarms)
	assert.Equal(t, operator.Healthy, w.Reach)
	assert.True(t, w.Members[0].Ready, "it still reads")
	assert.NotEmpty(t, w.Members[0].Errors)
}

// TestSilence: members that accept connections and say nothing do not hold up the hook.
func TestSilence(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	u, silent := f.add(t), f.add(t)
	u.prepare()
	l, err := net.Listen("tcp", silent.ip+":2379")
	require.NoError(t, err)
	defer l.Close()
	silent.word = operator.UnitBag{ClusterID: 1, ClientURL: silent.url(2379)}
	gone := f.add(t)
	gone.word = operator.UnitBag{ClusterID: 1, ClientURL: gone.url(2379)}
	look := func() operator.World { // the deadline is missed only if silence is waited for without end
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w, err := u.Observe(ctx, u.model())
		require.NoError(t, err)
		require.NoError(t, ctx.Err())
		return w
	}
	w := look()
	assert.Equal(t, operator.Unreachable, w.Reach)

	// The others are not taken for silent.
	named := silent.word
	silent.word, gone.word = operator.UnitBag{}, operator.UnitBag{}
	w = f.add(t).found()
	silent.word = operator.UnitBag{ClusterID: w.ClusterID, ClientURL: named.ClientURL}
	assert.Equal(t, operator.Healthy, look().Reach)
}

func TestLocalURL(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"":                            "",
		"nonsense":                    "",
		"https://10.0.0.1:2379":       "https://10.0.0.1:2379",
		"https://0.0.0.0:2379":        "https://127.0.0.1:2379",
		"https://[::]:2379":           "https://[::1]:2379",
		"https://a:1,https://b:2":     "https://a:1",
		"http://127.0.0.1:2381":       "http://127.0.0.1:2381",
		"https://[fd00::1]:2379,x://": "https://[fd00::1]:2379",
	} {
		assert.Equal(t, want, localURL(listen), listen)
	}
}

// BenchmarkObserve measures a healthy look by a member of two.
func BenchmarkObserve(b *testing.B) {
	f := newFleet(b)
	first, second := f.add(b), f.add(b)
	first.found()
	second.join()
	for b.Loop() {
		require.Equal(b, operator.Healthy, first.look().Reach)
	}
}
