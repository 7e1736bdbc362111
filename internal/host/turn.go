package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// turnSeconds is how long a turn outlives a holder that never gives it back. It is longer than a
// hook, so that no other unit can take the turn in the middle of one.
const turnSeconds = 180

// takeTurn takes the cluster's one turn. The turn is a key under a lease, created only where there
// is none. A turn that we already hold is extended.
func (h *Host) takeTurn(ctx context.Context) error {
	c, err := h.others(0)
	if err != nil {
		return fmt.Errorf("cannot take the turn: %w", err)
	}
	defer c.close()
	next := 0
	err = poll(ctx, 250*time.Millisecond, func(ctx context.Context) (bool, error) {
		m := c[next%len(c)]
		next++
		holder, err := within(ctx, askTime, func(ctx context.Context) (string, error) {
			return h.tryTurn(ctx, m.Client)
		})
		if err == nil && holder != h.unitName {
			err = fmt.Errorf("it is held by %s", holder)
		}
		// A cluster without space or with a corruption alarm accepts no key; waiting does not help.
		return err == nil || errors.Is(err, rpctypes.ErrNoSpace) ||
			errors.Is(err, rpctypes.ErrCorrupt), err
	})
	if err != nil {
		return fmt.Errorf("cannot take the turn: %w", err)
	}
	return nil
}

// turnOf interprets the answer to a read of turnKey. Any client may have written anything there.
func turnOf(kvs []*mvccpb.KeyValue) operator.Turn {
	if len(kvs) == 0 {
		return operator.Turn{Known: true}
	}
	return operator.Turn{
		Known: true, Holder: cmp.Or(string(kvs[0].Value), `""`), Unleased: kvs[0].Lease == 0,
	}
}

// breakTurn deletes the key if it still holds that turn. It leaves the key's lease alone, which
// other keys may use too.
func (h *Host) breakTurn(ctx context.Context, turn operator.Turn) error {
	err := h.untilFinal(ctx, 0, func(ctx context.Context, m memberConn) error {
		now, err := m.Get(ctx, turnKey)
		if err != nil || turnOf(now.Kvs) != turn {
			return err
		}
		resp, err := m.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(turnKey), "=", now.Kvs[0].ModRevision)).
			Then(clientv3.OpDelete(turnKey)).
			Commit()
		if err == nil && !resp.Succeeded {
			err = errors.New("it has changed hands")
		}
		return err
	}, func(error) verdict { return again })
	if err != nil {
		return fmt.Errorf("cannot break the turn: %w", err)
	}
	return nil
}

// tryTurn returns which unit holds the turn after the try.
func (h *Host) tryTurn(ctx context.Context, c *clientv3.Client) (string, error) {
	now, err := c.Get(ctx, turnKey)
	if err != nil {
		return "", err
	}
	if len(now.Kvs) > 0 {
		kv := now.Kvs[0]
		if string(kv.Value) != h.unitName {
			return turnOf(now.Kvs).Holder, nil
		}
		// The answer to an earlier try may have been lost, so a key with our name is our turn. It
		// counts only while its lease lives.
		if _, err := c.KeepAliveOnce(ctx, clientv3.LeaseID(kv.Lease)); err != nil {
			return "", fmt.Errorf("cannot extend it: %w", err)
		}
		return h.unitName, nil
	}
	lease, err := c.Grant(ctx, turnSeconds)
	if err != nil {
		return "", err
	}
	resp, err := c.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(turnKey), "=", 0)).
		Then(clientv3.OpPut(turnKey, h.unitName, clientv3.WithLease(lease.ID))).
		Else(clientv3.OpGet(turnKey)).
		Commit()
	if err != nil {
		return "", err // the turn may have been taken: the next try finds out
	}
	if resp.Succeeded {
		return h.unitName, nil
	}
	if _, err := c.Revoke(ctx, lease.ID); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		h.logger.DebugContext(ctx, "cannot revoke unused lease", "error", err)
	}
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		return turnOf(kvs).Holder, nil
	}
	return "", errors.New("it has changed hands")
}

// releaseTurn deletes the key if it is ours, and revokes its lease. A lease that is left would
// expire by itself.
func (h *Host) releaseTurn(ctx context.Context) error {
	err := h.untilFinal(ctx, 0, func(ctx context.Context, m memberConn) error {
		resp, err := m.Txn(ctx).
			If(clientv3.Compare(clientv3.Value(turnKey), "=", h.unitName)).
			Then(clientv3.OpGet(turnKey), clientv3.OpDelete(turnKey)).
			Commit()
		if err != nil || !resp.Succeeded {
			return err
		}
		if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 && kvs[0].Lease != 0 {
			if _, err := m.Revoke(ctx, clientv3.LeaseID(kvs[0].Lease)); err != nil {
				h.logger.DebugContext(ctx, "cannot revoke lease of the turn", "error", err)
			}
		}
		return nil
	}, func(error) verdict { return again })
	if err != nil {
		return fmt.Errorf("cannot give the turn back: %w", err)
	}
	return nil
}
