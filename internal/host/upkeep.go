package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// upkeepWait bounds a step whose length depends on the size of the database, at about 4 s for each
// GiB. An action has 120 s. So has a hook, which asks for such a step only where it should end in
// time (operator/space.go). If it does not end in time, the hook still has afterUpkeep to record
// that.
const (
	upkeepWait  = 100 * time.Second
	afterUpkeep = 20 * time.Second
)

// waitOf returns how long a step may take.
func waitOf(ctx context.Context, step operator.Step) time.Duration {
	switch s := step.(type) {
	case operator.AwaitWork:
		if end, bounded := ctx.Deadline(); bounded && !s.Hook {
			return min(upkeepWait, time.Until(end)-afterUpkeep)
		}
		return maxWait
	case operator.Defrag, operator.Compact, operator.Purge:
		if end, bounded := ctx.Deadline(); bounded {
			return min(upkeepWait, time.Until(end)-afterUpkeep)
		}
		return upkeepWait
	default:
		return maxWait
	}
}

// defrag asks the member itself. The member goes on even if we stop waiting.
func (h *Host) defrag(ctx context.Context, id uint64) error {
	h.mu.Lock()
	v := h.seen
	h.mu.Unlock()
	for _, a := range v.Answers {
		if a.MemberID != id {
			continue
		}
		m, err := v.access.dial(a.URL)
		if err != nil {
			return fmt.Errorf("cannot defragment member %x: %w", id, err)
		}
		defer ignoreClose(m)
		// The client's own Defragment dials another connection.
		if _, err := etcdserverpb.NewMaintenanceClient(m.ActiveConnection()).Defragment(
			ctx, &etcdserverpb.DefragmentRequest{},
		); err != nil {
			return fmt.Errorf("cannot defragment member %x: %w", id, err)
		}
		return nil
	}
	return fmt.Errorf("cannot defragment member %x: it did not answer when last asked", id)
}

// compact waits until the revisions are gone from the disk of the member asked; the others compact
// by themselves. The last revision is compacted in a request of its own: bbolt counts a freed page
// as used until the next write (its pending pages), and a full database accepts no other write.
func (h *Host) compact(ctx context.Context, revision int64) error {
	c, err := h.others(0)
	if err != nil {
		return fmt.Errorf("cannot compact to revision %d: %w", revision, err)
	}
	defer c.close()
	// There is no deadline here, because the compaction itself is what takes long.
	for _, to := range []int64{revision - 1, revision} {
		_, err := c[0].Compact(ctx, to, clientv3.WithCompactPhysical())
		if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			return fmt.Errorf("cannot compact to revision %d: %w", revision, err)
		}
	}
	awaitFreed(ctx, c)
	return nil
}

// freedWait bounds how long a compaction waits to see how much it freed.
const freedWait = 10 * time.Second

// awaitFreed waits until the sizes that the members report stay the same for a second, because the
// others compact by themselves.
func awaitFreed(ctx context.Context, c memberConns) {
	ctx, cancel := context.WithTimeout(ctx, freedWait)
	defer cancel()
	var before []int64
	same := 0
	_ = poll(ctx, 200*time.Millisecond, func(ctx context.Context) (bool, error) {
		var now []int64
		for _, m := range c {
			server := etcdserverpb.NewMaintenanceClient(m.ActiveConnection())
			if status, err := server.Status(ctx, &etcdserverpb.StatusRequest{}); err == nil {
				now = append(now, status.DbSizeInUse)
			}
		}
		if same++; !slices.Equal(before, now) {
			same = 0
		}
		before = now
		return same >= 5, nil
	}) // a later look sees what has not shown by then
}

// askHashes asks every listed voter for the hash of its data up to a revision. A voter that does
// not answer is left out.
func (h *Host) askHashes(ctx context.Context, revision int64) error {
	h.mu.Lock()
	v := h.seen
	h.mu.Unlock()
	said := make([]operator.Hash, len(v.Members))
	asks := make([]func(), 0, len(v.Members))
	for i, mem := range v.Members {
		if !mem.Learner {
			asks = append(asks, func() { said[i] = h.askHash(ctx, v, mem, revision) })
		}
	}
	parallel(asks...)
	said = slices.DeleteFunc(said, func(hash operator.Hash) bool { return hash.MemberID == 0 })
	if len(said) == 0 {
		return fmt.Errorf("cannot compare data: %w", errNobody)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hashes = append(h.hashes, said)
	return nil
}

// askHash asks one member. It does not use the client's HashKV, which dials another connection.
func (h *Host) askHash(
	ctx context.Context, v view, mem operator.Member, revision int64,
) operator.Hash {
	for _, url := range v.urls(mem.ID, mem.ClientURLs) {
		m, err := v.access.dial(url)
		if err != nil {
			continue
		}
		server := etcdserverpb.NewMaintenanceClient(m.ActiveConnection())
		said, err := server.HashKV(ctx, &etcdserverpb.HashKVRequest{Revision: revision})
		ignoreClose(m)
		if err == nil && said.GetHeader().GetMemberId() == mem.ID {
			return operator.Hash{
				MemberID: mem.ID, Revision: said.HashRevision,
				Compacted: said.CompactRevision, Hash: said.Hash,
			}
		}
		if err != nil {
			h.logger.WarnContext(ctx, "a member does not report its hash", "url", url, "error", err)
		}
	}
	return operator.Hash{}
}

func (h *Host) disarm(ctx context.Context, a operator.Alarm) error {
	kind, known := etcdserverpb.AlarmType_value[a.Kind]
	nobody := a.MemberID == 0 && kind != int32(etcdserverpb.AlarmType_CORRUPT) // see operator.Survey
	if !known || nobody || kind == int32(etcdserverpb.AlarmType_NONE) {
		// etcd's client takes no member and no kind to mean all of them.
		return fmt.Errorf("cannot disarm alarm %s of member %x: it is unknown", a.Kind, a.MemberID)
	}
	err := h.untilFinal(ctx, 0, func(ctx context.Context, m memberConn) error {
		_, err := m.AlarmDisarm(ctx, &clientv3.AlarmMember{
			MemberID: a.MemberID, Alarm: etcdserverpb.AlarmType(kind),
		})
		return err
	}, func(error) verdict { return again })
	if err != nil {
		return fmt.Errorf("cannot disarm alarm %s of member %x: %w", a.Kind, a.MemberID, err)
	}
	return nil
}
