package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// patience is how many looks in a row, a second apart, must find the service dead or failing before
// the wait is given up.
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
			h.appendEntry(ctx)
		}
		checked = time.Now()
		state, err := h.supervisor.state(ctx)
		switch {
		case err != nil:
			return false, err
		case state.failing:
			bad++
			why = errors.New("it fails: " + state.log)
		case state.gated:
			why = errors.New("its gate asks the peers")
		case !state.process.alive():
			bad++
			// Between two starts it is not failing either, but its log already says why it ended.
			why = errors.New("it is not running: " + h.supervisor.cause(ctx))
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

// awaitPeer waits until the member with that ID is ready. With 0 it waits for every voter that is
// listed at the moment.
func (h *Host) awaitPeer(ctx context.Context, id uint64) error {
	err := h.pollList(ctx, func(ctx context.Context, list []*etcdserverpb.Member) (bool, error) {
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

// awaitLearner waits until the member with that ID is no longer a learner.
func (h *Host) awaitLearner(ctx context.Context, id uint64) error {
	err := h.pollList(ctx, func(_ context.Context, list []*etcdserverpb.Member) (bool, error) {
		if m := find(list, id); m != nil && m.IsLearner {
			return false, fmt.Errorf("%s is still a learner", nameOf(m))
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("cannot see learner %x vote: %w", id, err)
	}
	return nil
}

// awaitListed waits until enough of the other voters accept connections at their listed URLs to
// make a quorum together with the member own.
func (h *Host) awaitListed(ctx context.Context, own uint64) error {
	err := h.pollList(ctx, func(ctx context.Context, list []*etcdserverpb.Member) (bool, error) {
		list = slices.DeleteFunc(list, func(m *etcdserverpb.Member) bool { return m.IsLearner })
		h.mu.Lock()
		v := h.seen
		h.mu.Unlock()
		there := make([]bool, len(list))
		checks := make([]func(), len(list))
		for i, m := range list {
			checks[i] = func() {
				there[i] = m.ID == own || slices.ContainsFunc(m.PeerURLs, func(u string) bool {
					return v.fits(u) && accepts(ctx, u)
				})
			}
		}
		parallel(checks...)
		found := 0
		var missing []string
		for i, ok := range there {
			if ok {
				found++
			} else {
				missing = append(missing, nameOf(list[i]))
			}
		}
		if found < operator.Quorum(len(list)) {
			return false, fmt.Errorf("not where they are listed: %s", strings.Join(missing, ", "))
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("cannot see members listen: %w", err)
	}
	return nil
}

// accepts reports whether somebody takes connections at a URL.
func accepts(ctx context.Context, text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	conn, err := (&net.Dialer{Timeout: probeTime}).DialContext(ctx, "tcp", u.Host)
	return err == nil && conn.Close() == nil
}

// pollList passes the member list, asked of one member after the other, to done until done returns
// true.
func (h *Host) pollList(
	ctx context.Context, done func(context.Context, []*etcdserverpb.Member) (bool, error),
) error {
	c, err := h.others(0)
	if err != nil {
		return err
	}
	defer c.close()
	next := 0
	return poll(ctx, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		m := c[next%len(c)]
		next++
		resp, err := within(ctx, probeTime,
			func(ctx context.Context) (*clientv3.MemberListResponse, error) {
				return m.MemberList(ctx)
			})
		if err != nil {
			return false, err
		}
		return done(ctx, resp.Members)
	})
}

// notReady asks all voters (or only the one) in parallel, and names those that do not answer a
// linearizable read.
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
			for _, url := range v.urls(listed.ID, listed.ClientURLs) {
				if a := h.probe(ctx, v.access, url, false); a.Self.Ready && a.MemberID == listed.ID {
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
