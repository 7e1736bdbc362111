package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/test/load"
)

// failover kills the follower that a client behind the unit's proxy is connected to, and measures
// the time to its next success.
func (b *bench) failover(ctx context.Context, w *ways) error {
	address, err := w.ask(ctx)("address", proxyUnit)
	if err != nil {
		return err
	}
	behind := load.Target{Endpoints: []string{"http://" + net.JoinHostPort(address, "2379")}}
	for run := range b.runs {
		progress("proxy.failover-ms %d of %d", run+1, b.runs)
		took, err := w.failOnce(ctx, behind)
		if err != nil {
			return fmt.Errorf("failover: %w", err)
		}
		b.add("proxy.failover-ms", "ms", milliseconds(took))
	}
	return nil
}

func (w *ways) failOnce(ctx context.Context, behind load.Target) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := behind.Client()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	name, err := w.follower(ctx, c)
	if err != nil {
		return 0, err
	}
	if err := w.do(ctx, "kill", "etcd/"+strings.TrimPrefix(name, "etcd"), "/etcd$"); err != nil {
		return 0, err
	}
	began := time.Now()
	for try := 0; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		_, err := c.Put(attempt, "bench/failover", strconv.Itoa(try))
		cancel()
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return 0, errors.Join(ctx.Err(), err)
		}
		time.Sleep(10 * time.Millisecond) // a refusal that comes at once must not cause a storm
	}
	took := time.Since(began)
	return took, errors.Join(w.do(ctx, "update-status"), w.healthy(ctx, 3))
}

// follower returns the member that c is connected to. If it leads, it first hands the leadership
// over.
func (w *ways) follower(ctx context.Context, c *clientv3.Client) (string, error) {
	list, err := c.MemberList(ctx)
	if err != nil {
		return "", fmt.Errorf("cannot list members: %w", err)
	}
	status, err := c.Status(ctx, c.Endpoints()[0]) // over its own connection: any member may answer
	if err != nil {
		return "", fmt.Errorf("cannot ask who leads: %w", err)
	}
	own := list.Header.MemberId
	i := slices.IndexFunc(list.Members, func(m *pb.Member) bool { return m.ID == own })
	if i < 0 {
		return "", errors.New("no member answers")
	}
	if status.Leader == own {
		other := list.Members[(i+1)%len(list.Members)].ID
		// A member that refuses no longer leads, so it is a follower.
		if _, err := c.MoveLeader(ctx, other); err != nil && !errors.Is(err, rpctypes.ErrNotLeader) {
			return "", fmt.Errorf("cannot move the leader: %w", err)
		}
	}
	return list.Members[i].Name, nil
}
