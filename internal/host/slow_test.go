package host

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/test/path"
)

// TestSlowPeers: units with slow paths to each other's client ports join, are promoted, and are
// seen ready by all.
func TestSlowPeers(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]path.Path{
		// A nearer member gets less time. The round trip is not 1 s here: the handshake is silent
		// for two round trips, and of these TCP's answer alone counts as a sign of life.
		"600 ms":             {RoundTrip: 600 * time.Millisecond},
		"first packets lost": {RoundTrip: 50 * time.Millisecond, LostSYN: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			units := []*unit{f.add(t), f.add(t), f.add(t)}
			for _, u := range units {
				u.far(p)
			}
			units[0].found()
			units[1].join()
			units[2].join()
			for _, u := range units {
				// On a busy machine an answer may take longer than a look waits for any member.
				u.eventually("all are seen, ready", func(w operator.World) bool {
					unwell := func(m operator.Member) bool { return !m.Answers || !m.Ready }
					return w.Reach == operator.Healthy && len(w.Members) == 3 && !slices.ContainsFunc(w.Members, unwell)
				})
			}
			units[0].do(operator.TakeTurn{}, operator.AwaitPeer{ID: units[2].word.MemberID}, operator.AwaitPeer{}, operator.ReleaseTurn{})
		})
	}
}

// TestHearing: a member is given up when it is silent, not when it is slow.
func TestHearing(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for name, test := range map[string]struct {
		signs []time.Duration // each after the sign before
		hurry bool            // the cluster was seen to be healthy at once
		ends  time.Duration   // after the last sign
	}{
		"silence":                      {ends: probeTime},
		"silence beside a quorum":      {hurry: true, ends: graceTime},
		"a hung process":               {signs: []time.Duration{s / 1000}, hurry: true, ends: graceTime},
		"near":                         {signs: []time.Duration{s / 1000, s / 1000, s / 1000}, ends: probeTime},
		"1 s of round trip":            {signs: []time.Duration{s, s, 2 * s}, ends: 6 * s},
		"1 s of round trip, hurried":   {signs: []time.Duration{s, s, 2 * s}, hurry: true, ends: 6 * s},
		"a lost first packet":          {signs: []time.Duration{s + s/20, s / 20}, hurry: true, ends: 3*s + 3*s/20},
		"far, and it goes on for long": {signs: []time.Duration{2 * s, 2 * s, 2 * s, 2 * s}, ends: 2 * s},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, ear := listen(t.Context())
				defer ear.close()
				if test.hurry {
					ear.shorten()
				}
				for _, after := range test.signs {
					time.Sleep(after) // by the bubble's clock
					synctest.Wait()
					require.NoError(t, ctx.Err())
					ear.heard()
				}
				last := time.Now()
				<-ctx.Done()
				assert.Equal(t, test.ends, time.Since(last))
			})
		})
	}
}
