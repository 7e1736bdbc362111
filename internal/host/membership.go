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

const (
	// askTime bounds one request of a step; etcd itself gives up after 7 s.
	askTime = 5 * time.Second
	// promotionLag is how many entries a learner may be behind. etcd promotes at 90 % of the
	// leader's index (etcdserver, readyPercentThreshold): in an old cluster that can be a hundred
	// thousand entries behind.
	promotionLag = 1000
)

var errNobody = errors.New("no member answers")

// memberConns is the connections to the members that answered the last look; it must be closed.
type memberConns []memberConn

type memberConn struct {
	member
	id  uint64
	url string
}

func (c memberConns) close() {
	for _, m := range c {
		_ = m.Close()
	}
}

// others returns the members except the one named. Those that answered a linearizable read come
// first.
func (h *Host) others(except uint64) (memberConns, error) {
	h.mu.Lock()
	v := h.seen
	h.mu.Unlock()
	var c memberConns
	answers := slices.Clone(v.Answers)
	slices.SortStableFunc(answers, func(a, b operator.Answer) int {
		rank := func(a operator.Answer) int {
			switch {
			case a.Self.Ready && a.URL != v.own:
				return 0
			case a.Self.Ready:
				return 1
			default:
				return 2
			}
		}
		return rank(a) - rank(b)
	})
	for _, a := range answers {
		if a.MemberID == except {
			continue
		}
		m, err := v.access.dial(a.URL)
		if err != nil {
			c.close()
			return nil, err
		}
		c = append(c, memberConn{m, a.MemberID, a.URL})
	}
	if len(c) == 0 {
		return nil, errNobody
	}
	return c, nil
}

// verdict is what an answer means for a request.
type verdict int

const (
	again verdict = iota // ask again, another member
	done
	never
)

// untilFinal asks the members in turn until an answer is final. The reply to a request may be lost
// although the request was done, so judge must treat "it is so already" as done.
func (h *Host) untilFinal(
	ctx context.Context, except uint64,
	do func(context.Context, memberConn) error, judge func(error) verdict,
) error {
	c, err := h.others(except)
	if err != nil {
		return err
	}
	defer c.close()
	next := 0
	return poll(ctx, 250*time.Millisecond, func(ctx context.Context) (bool, error) {
		m := c[next%len(c)]
		next++
		_, err := within(ctx, askTime, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, do(ctx, m)
		})
		switch {
		case err == nil:
			return true, nil
		case judge(err) == done:
			return true, nil
		default:
			return judge(err) == never, err
		}
	})
}

// addLearner asks for a membership. etcd refuses while its members have been connected for less
// than 5 s, and while there is another learner; both pass. What the list already forbids is not
// asked for: see free.
func (h *Host) addLearner(ctx context.Context, peerURL string) error {
	err := h.untilFinal(ctx, 0, func(ctx context.Context, m memberConn) error {
		list, err := m.MemberList(ctx)
		if err != nil {
			return err
		}
		if err := free(list.Members, 0, peerURL); err != nil {
			return err
		}
		if slices.ContainsFunc(list.Members, func(m *etcdserverpb.Member) bool { return m.IsLearner }) {
			return rpctypes.ErrTooManyLearners
		}
		_, err = m.MemberAddAsLearner(ctx, []string{peerURL})
		return err
	}, func(err error) verdict {
		switch {
		case errors.Is(err, rpctypes.ErrPeerURLExist):
			return done // an earlier try, whose answer was lost, has added it
		case errors.Is(err, rpctypes.ErrMemberBadURLs):
			return never
		default:
			// "member ID already exist" too: etcd makes the ID from the URLs and the second, so a
			// member that was added and removed within this second has the same ID.
			return again
		}
	})
	if err != nil {
		return fmt.Errorf("cannot add learner %s: %w", peerURL, err)
	}
	return nil
}

var (
	errBehind = errors.New("it has not caught up with the leader")
	errSilent = errors.New("it does not answer yet")
)

func (h *Host) promote(ctx context.Context, id uint64) error {
	c, err := h.others(id)
	if err != nil {
		return fmt.Errorf("cannot promote learner %x: %w", id, err)
	}
	defer c.close()
	next, stirred := 0, time.Time{}
	err = poll(ctx, 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		m := c[next%len(c)]
		next++
		_, err := within(ctx, askTime, func(ctx context.Context) (struct{}, error) {
			if err := h.caughtUp(ctx, m, id); err != nil {
				if errors.Is(err, errSilent) && time.Since(stirred) > time.Second {
					stirred = time.Now()
					h.appendEntry(ctx)
				}
				return struct{}{}, err
			}
			_, err := m.MemberPromote(ctx, id)
			return struct{}{}, err
		})
		switch {
		case err == nil, errors.Is(err, rpctypes.ErrMemberNotLearner):
			return true, nil
		case errors.Is(err, rpctypes.ErrMemberNotFound):
			return true, err
		default:
			return false, err
		}
	})
	if err != nil {
		return fmt.Errorf("cannot promote learner %x: %w", id, err)
	}
	return nil
}

// caughtUp compares the learner's index with the index of the voter asked. The leader has
// everything that the voter has committed.
func (h *Host) caughtUp(ctx context.Context, voter memberConn, id uint64) error {
	list, err := voter.MemberList(ctx)
	if err != nil {
		return err
	}
	learner := find(list.Members, id)
	if learner == nil {
		return rpctypes.ErrMemberNotFound
	}
	if !learner.IsLearner {
		return rpctypes.ErrMemberNotLearner
	}
	said := h.probeOne(ctx, learner)
	if said == nil {
		return errSilent
	}
	ahead, err := statusOf(ctx, voter.Client)
	if err != nil {
		return err
	}
	if said.RaftAppliedIndex+promotionLag < ahead.RaftIndex {
		return errBehind
	}
	return nil
}

// appendEntry puts an entry into the cluster's log, if there is a quorum. A member that was sent a
// snapshot counts as far behind until the next entry. Until then it serves no linearizable read,
// and if it is more than 5000 entries behind it takes no request, not even its own request to
// publish itself (etcd 3.7.3, applySnapshot sets no applied index). Without writes that never ends.
// Reading the alarms goes through the log and changes nothing.
func (h *Host) appendEntry(ctx context.Context) {
	c, err := h.others(0)
	if err != nil {
		return
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for _, m := range c {
		if _, err := m.AlarmList(ctx); err == nil {
			return
		}
	}
}

// probeOne asks a listed member for its status, at its URLs in turn until one answers.
func (h *Host) probeOne(
	ctx context.Context, listed *etcdserverpb.Member,
) *etcdserverpb.StatusResponse {
	h.mu.Lock()
	v := h.seen
	h.mu.Unlock()
	for _, url := range v.urls(listed.ID, listed.ClientURLs) {
		ctx, ear := listen(ctx)
		m, err := v.access.dialHeard(url, ear.heard)
		if err != nil {
			ear.close()
			return nil
		}
		status, err := statusOf(ctx, m.Client)
		ear.close()
		_ = m.Close()
		if err == nil && status.Header.MemberId == listed.ID {
			return status
		}
	}
	return nil
}

func statusOf(ctx context.Context, c *clientv3.Client) (*etcdserverpb.StatusResponse, error) {
	return etcdserverpb.NewMaintenanceClient(c.ActiveConnection()).
		Status(ctx, &etcdserverpb.StatusRequest{})
}

func find(members []*etcdserverpb.Member, id uint64) *etcdserverpb.Member {
	i := slices.IndexFunc(members, func(m *etcdserverpb.Member) bool { return m.ID == id })
	if i < 0 {
		return nil
	}
	return members[i]
}

// free reports whether no other member has a URL. etcd would refuse too, but only when it applies
// the entry, which stays in the log: a server that replays it after a restart carries it out by
// half, lists the URL and sends there (etcdserver, applyConfChange).
func free(members []*etcdserverpb.Member, id uint64, peerURL string) error {
	for _, m := range members {
		if m.ID != id && slices.Contains(m.PeerURLs, peerURL) {
			return rpctypes.ErrPeerURLExist
		}
	}
	return nil
}

// errStarted means that a member that was to be removed as never started has started.
var errStarted = errors.New("it has started meanwhile")

// removeMember asks the other members, because a removed member may not live to answer.
func (h *Host) removeMember(ctx context.Context, s operator.RemoveMember) error {
	err := h.untilFinal(ctx, s.ID, func(ctx context.Context, m memberConn) error {
		if s.Unstarted {
			list, err := m.MemberList(ctx)
			if err != nil {
				return err
			}
			if listed := find(list.Members, s.ID); listed != nil && listed.Name != "" {
				return errStarted
			}
		}
		_, err := m.MemberRemove(ctx, s.ID)
		return err
	}, func(err error) verdict {
		switch {
		case errors.Is(err, rpctypes.ErrMemberNotFound):
			return done
		case errors.Is(err, errStarted):
			return never
		}
		return again
	})
	if err != nil {
		return fmt.Errorf("cannot remove member %x: %w", s.ID, err)
	}
	return nil
}

func (h *Host) updateMember(ctx context.Context, id uint64, peerURL string) error {
	err := h.untilFinal(ctx, 0, func(ctx context.Context, m memberConn) error {
		list, err := m.MemberList(ctx)
		if err != nil {
			return err
		}
		listed := find(list.Members, id)
		if listed == nil {
			return rpctypes.ErrMemberNotFound
		}
		if slices.Equal(listed.PeerURLs, []string{peerURL}) {
			return nil
		}
		if err := free(list.Members, id, peerURL); err != nil {
			return err
		}
		_, err = m.MemberUpdate(ctx, id, []string{peerURL})
		return err
	}, func(err error) verdict {
		switch {
		case errors.Is(err, rpctypes.ErrMemberNotFound), errors.Is(err, rpctypes.ErrMemberBadURLs),
			errors.Is(err, rpctypes.ErrPeerURLExist):
			return never
		default:
			return again
		}
	})
	if err != nil {
		return fmt.Errorf("cannot update member %x to %s: %w", id, peerURL, err)
	}
	return nil
}
