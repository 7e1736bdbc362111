package host

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestQuietCluster: a member that needs a snapshot does not wait for a client's next write.
func TestQuietCluster(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.config.SnapshotCount = 100
	a, b, c := f.add(t), f.add(t), f.add(t)
	a.found()
	a.writeMuch()
	b.join()
	c.join()
	c.do(operator.Stop{Why: "it is to miss much"})
	a.writeMuch()
	c.do(operator.Start{}, operator.AwaitReady{})
	assert.True(t, c.look().Local.Ready)
}

// writeMuch writes more entries than etcd keeps for members that are behind (5000). That is also
// more than a member may have left to apply before it accepts requests.
func (u *unit) writeMuch() {
	u.t.Helper()
	const writers, each = 50, 110
	m, err := u.access(nil).dial(u.word.ClientURL)
	require.NoError(u.t, err)
	defer ignoreClose(m)
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for range each {
				_, err := m.Put(u.t.Context(), "fruit", "apple")
				assert.NoError(u.t, err)
			}
		})
	}
	writing.Wait()
}
