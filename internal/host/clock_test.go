package host

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestFoundedByAClockThatIsAhead: real servers use the real clock, so they accept no certificate
// that begins in the future. Once the founder's clock is right again, the unit renews the
// certificates, and others join.
func TestFoundedByAClockThatIsAhead(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]time.Duration{"49 hours": 49 * time.Hour, "400 days": 400 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			a, b := f.add(t), f.add(t)
			a.now = func() time.Time { return time.Now().Add(off) }
			var err error
			f.authority, err = a.NewAuthority("etcd")
			require.NoError(t, err)
			a.found()
			a.now = time.Now

			leaves := a.look().TLS
			for _, leaf := range []operator.Leaf{leaves.Peer, leaves.Server, leaves.Admin} {
				assert.Empty(t, leaf.Problem)
				assert.False(t, leaf.Due, "it is good as it is")
			}
			w := b.join()
			assert.Equal(t, 2, voters(w))
			a.do(a.writeAll())
			assert.Equal(t, operator.Healthy, a.look().Reach)
		})
	}
}
