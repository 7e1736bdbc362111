package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

// patience is how many looks in a row, a second apart, must find the service dead or failing before there is no use
// in waiting on.
const patience = 3

func (h *Host) awaitReady(ctx context.Context, learner bool) error {
	path := "/readyz"
	if learner {
		path = "/livez" // a learner is never ready: etcd's check reads linearizably
	}
	bad, checked := 0, time.Time{}
	err := poll(ctx, 25*time.Millisecond, func(ctx context.Context) (bool, error) {
		env, err := envLines(h.memberEnv())
		if err != nil {
			return false, err
		}
		metrics := localURL(lookup(env, "ETCD_LISTEN_METRICS_URLS"))
		if metrics == "" {
			return true, errors.New("no settings of a member are written")
		}
		ok, _ := within(ctx, 2*time.Second, func(ctx context.Context) (bool, error) {
			return healthy(ctx, metrics, path), nil
		})
		if ok {
			return true, nil
		}
		why := errors.New("it does not answer " + path + " yet")
		if time.Since(checked) < time.Second {
			return false, why
		}
		if !checked.IsZero() {
			h.stir(ctx)
		}
		checked = time.Now()
		state, err := h.supervisor.state(ctx)
		switch {
		case err != nil:
			return false, err
		case state.failing:
			bad++
			why = errors.New("it fails: " + state.log)
		case !state.process.alive():
			bad++
			why = errors.New("it is not running")
		default:
			bad = 0
		}
		return bad >= patience, why
	})
	if err != nil {
		return fmt.Errorf("cannot see our server ready: %w", err)
	}
	return nil
}

// awaitPeer waits until the member with that ID is ready, or with 0 every voter that is listed at the moment.
func (h *Host) awaitPeer(ctx context.Context, id uint64) error {
	c, err := h.others(0)
	if err != nil {
		return fmt.Errorf("cannot see members ready: %w", err)
	}
	defer c.close()
	next := 0
	err = poll(ctx, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		m := c[next%len(c)]
		next++
		list, err := within(ctx, probeTime, func(ctx context.Context) ([]*etcdserverpb.Member, error) {
			resp, err := m.MemberList(ctx)
			if err != nil {
				return nil, err
			}
			return resp.Members, nil
		})
		if err != nil {
			return false, err
		}
		if id != 0 && find(list, id) == nil {
			return true, fmt.Errorf("member %x is not in the cluster", id)
		}
		missing := h.notReady(ctx, list, id)
		if len(missing) > 0 {
			return false, fmt.Errorf("not ready: %s", strings.Join(missing, ", "))
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("cannot see members ready: %w", err)
	}
	return nil
}

// notReady asks all voters (or only the one) side by side and names those that serve no linearizable read.
func (h *Host) notReady(ctx context.Context, list []*etcdserverpb.Member, only uint64) []string {
	h.mu.Lock()
	v := h.seen
	h.mu.Unlock()
	ready := make([]bool, len(list))
	checks := make([]func(), 0, len(list))
	for i, listed := range list {
		if listed.IsLearner || (only != 0 && listed.ID != only) {
			ready[i] = true
			continue
		}
		checks = append(checks, func() {
			for _, url := range v.urls(listed) {
				if a := h.probe(ctx, v.access, url); a.ready && a.memberID() == listed.ID {
					ready[i] = true
					return
				}
			}
		})
	}
	parallel(checks...)
	var missing []string
	for i, ok := range ready {
		if !ok {
			missing = append(missing, nameOf(list[i]))
		}
	}
	return missing
}

func nameOf(m *etcdserverpb.Member) string {
	if m.Name != "" {
		return m.Name
	}
	return fmt.Sprintf("%x at %s", m.ID, strings.Join(m.PeerURLs, ","))
}
