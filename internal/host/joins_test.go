package host

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// TestALearnerIsSeenToProgress: the unit's view of its learner grows with each entry and byte; for
// a voter it is not read. A wait for the learner ends when it votes, or when it is gone.
func TestALearnerIsSeenToProgress(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	founder, joiner := f.add(t), f.add(t)
	founder.found()
	joiner.learn()
	id := joiner.look().Data.MemberID
	before := joiner.eventually("a learner that serves", func(w operator.World) bool { return w.Local.Applied > 0 })
	assert.Positive(t, before.Data.Bytes)
	assert.Zero(t, founder.look().Data.Bytes, "a voter's is not read")

	c, err := founder.access(f.authority).dial(founder.url(f.config.Port))
	require.NoError(t, err)
	defer ignoreClose(c)
	big := make([]byte, 1<<20)
	for i := range 20 {
		_, err := c.Put(t.Context(), fmt.Sprintf("big/%d", i), string(big))
		require.NoError(t, err)
	}
	joiner.eventually("progress", func(w operator.World) bool {
		return w.Local.Applied >= before.Local.Applied+20 && w.Data.Bytes > before.Data.Bytes
	})

	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, founder.awaitLearner(short, id), "etcd1 is still a learner")
	voted := make(chan error, 1)
	founder.look()
	go func() { voted <- founder.Do(t.Context(), operator.AwaitLearner{ID: id}) }()
	joiner.do(operator.Promote{ID: id})
	require.NoError(t, <-voted)
	founder.do(operator.AwaitLearner{ID: 99}) // that member is gone
}

// TestVotersSayWhatTheyHave: all voters have the same hash at a revision, each time that they are
// asked. A silent voter is left out.
func TestVotersSayWhatTheyHave(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	founder, second, learner := f.add(t), f.add(t), f.add(t)
	founder.found()
	second.join()
	learner.learn()
	founder.eventually("all three", func(w operator.World) bool { return len(w.Members) == 3 })
	c, err := founder.access(f.authority).dial(founder.url(f.config.Port))
	require.NoError(t, err)
	defer ignoreClose(c)
	put, err := c.Put(t.Context(), "fruit", "pear")
	require.NoError(t, err)
	revision := put.Header.Revision
	assert.Empty(t, founder.look().Hashes, "nobody asks by itself")

	second.eventually("the entry", func(w operator.World) bool { return w.Local.Revision >= revision })
	founder.do(operator.AskHashes{Revision: revision, Time: 1}, operator.AskHashes{Revision: revision, Time: 2})
	w := founder.look()
	require.Len(t, w.Hashes, 2)
	for _, said := range w.Hashes {
		require.Len(t, said, 2, "the voters")
		assert.Equal(t, revision, said[0].Revision)
		assert.NotZero(t, said[0].Hash)
		assert.NotEqual(t, said[0].MemberID, said[1].MemberID)
		said[1].MemberID = said[0].MemberID
		assert.Equal(t, said[0], said[1])
	}

	founder.look()
	require.ErrorIs(t, founder.Do(t.Context(), operator.AskHashes{Revision: revision + 1000}), errNobody, "nobody has that yet")
	second.here(operator.Stop{Why: "test"})
	founder.eventually("one who is silent", func(w operator.World) bool { return w.Reach == operator.NoQuorum })
	founder.here(operator.AskHashes{Revision: revision, Time: 3})
	assert.Len(t, founder.look().Hashes[2], 1, "it reads no log")
}
