package host

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// A slow path is not a dead one. A member is given up only when nothing has been heard of it for a
// while, however far the exchange had come: the next look would start from nothing and end at the
// same place. These are the timeouts on the way to members, and what they allow at a round trip of
// one second:
//
//	probeTime  2.5 s  the silence of a member: to connect, to shake hands, to answer. 1 s, 1 s, 2 s; a lost first packet
//	                  is sent again after 1 s; and a member without quorum lets a linearizable read hang
//	graceTime  1.5 s  the same once the cluster is seen to be healthy, or three times what its slowest step took
//	lookTime   10 s   a look in all. 5 s and what the quorum needs
//	askTime    5 s    one request of a step. The connection, which took 3 s, stays for the next request
//
// A member that is given up cannot be reached from here. That does not mean that it is down, and
// the charm never removes it for this.
const (
	probeTime = 2500 * time.Millisecond
	graceTime = 1500 * time.Millisecond
	lookTime  = 10 * time.Second
)

// hearing ends a look at a member when nothing has been heard of it for a while. Its lock guards
// the fields below it.
type hearing struct {
	mu      sync.Mutex
	end     context.CancelFunc
	timer   *time.Timer
	allowed time.Duration
	last    time.Time     // when something was heard
	slowest time.Duration // the longest gap between two signs of life
}

// listen returns a context that ends with the hearing.
func listen(ctx context.Context) (context.Context, *hearing) {
	ctx, end := context.WithTimeout(ctx, lookTime)
	return ctx, &hearing{
		end: end, timer: time.AfterFunc(probeTime, end), allowed: probeTime, last: time.Now(),
	}
}

// heard is called at each sign of life.
func (h *hearing) heard() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.slowest, h.last = max(h.slowest, now.Sub(h.last)), now
	h.timer.Reset(h.patience())
}

func (h *hearing) patience() time.Duration { return max(h.allowed, 3*h.slowest) }

// shorten shortens the time that a silent member is given.
func (h *hearing) shorten() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.allowed = graceTime
	h.timer.Reset(h.patience())
}

func (h *hearing) close() {
	h.timer.Stop()
	h.end()
}

// probe asks one member everything, over one connection. It first asks for the member's status,
// which also opens the connection. Then it asks in parallel for the member's own member list (the
// round trip) and for two linearizable reads.
func (h *Host) probe(ctx context.Context, a access, url string, own bool) operator.Answer {
	ctx, ear := listen(ctx)
	defer ear.close()
	return h.probeHeard(ctx, a, url, own, ear.heard)
}

// probeHeard calls heard at each sign of life.
func (h *Host) probeHeard(
	ctx context.Context, a access, url string, own bool, heard func(),
) operator.Answer {
	out := operator.Answer{URL: url}
	m, err := a.dialHeard(url, heard)
	if err != nil {
		return out
	}
	defer ignoreClose(m)
	conn := m.ActiveConnection()
	// The client's own Status dials another connection.
	status, err := etcdserverpb.NewMaintenanceClient(conn).Status(ctx, &etcdserverpb.StatusRequest{})
	if err != nil {
		return out
	}
	heard()
	out.ClusterID, out.MemberID = status.GetHeader().GetClusterId(), status.GetHeader().GetMemberId()
	out.Self = ofItself(status)
	if until := m.certUntil.Load(); until != 0 {
		out.Self.CertRemaining = time.Unix(until, 0).Sub(h.now())
	}
	cluster := etcdserverpb.NewClusterClient(conn)
	var rtt time.Duration
	var ready bool
	parallel(
		func() {
			began := time.Now()
			resp, err := cluster.MemberList(ctx, &etcdserverpb.MemberListRequest{Linearizable: false})
			if rtt = time.Since(began); err == nil {
				out.List = listed(resp.Members)
			}
		},
		func() {
			if resp, err := cluster.MemberList(ctx, &etcdserverpb.MemberListRequest{Linearizable: true}); err == nil {
				out.Linear = listed(resp.Members)
			}
		},
		func() {
			resp, err := etcdserverpb.NewKVClient(conn).Range(ctx,
				&etcdserverpb.RangeRequest{Key: []byte(turnKey)})
			if err != nil {
				return
			}
			ready, out.Turn = true, turnOf(resp.Kvs)
		},
		func() { out.Auth = own && authEnabled(ctx, conn) },
	)
	out.Self.RTT, out.Self.Ready = rtt, ready
	return out
}

// authEnabled asks a member whether authentication is on, with a token that was never issued. A
// server without authentication does not look at the token (server/v3 auth/store.go,
// AuthInfoFromCtx). The call AuthStatus would append an entry to the raft log at each look
// (v3_server.go), and needs a quorum. The request is a stream, because etcd's client retries a
// unary call that ends with such an answer, but not a stream.
func authEnabled(ctx context.Context, conn *grpc.ClientConn) bool {
	ctx, cancel := context.WithCancel(
		metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, "none"))
	defer cancel()
	call, err := conn.NewStream(ctx, &grpc.StreamDesc{}, etcdserverpb.KV_Range_FullMethodName)
	if err == nil {
		err = call.SendMsg(&etcdserverpb.RangeRequest{Key: []byte(turnKey), Serializable: true})
	}
	if err == nil {
		err = call.RecvMsg(new(etcdserverpb.RangeResponse))
	}
	return errors.Is(rpctypes.Error(err), rpctypes.ErrInvalidAuthToken)
}

// ofItself returns what a member's status says about itself.
func ofItself(s *etcdserverpb.StatusResponse) operator.Member {
	return operator.Member{
		Version: s.Version, StorageVersion: s.StorageVersion, Leader: s.Leader,
		DBSize: s.DbSize, DBInUse: s.DbSizeInUse, Quota: s.DbSizeQuota,
		Term: s.RaftTerm, Index: s.RaftIndex, Applied: s.RaftAppliedIndex, Errors: s.Errors,
		Revision: s.Header.GetRevision(),
	}
}

// listed is a member list in the operator's form; never nil.
func listed(members []*etcdserverpb.Member) []operator.Member {
	out := make([]operator.Member, 0, len(members))
	for _, m := range members {
		out = append(out, operator.Member{
			ID: m.ID, Name: m.Name, Learner: m.IsLearner, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs,
		})
	}
	return out
}

// view is what a look at the cluster found. Steps take from it the addresses to ask.
type view struct {
	operator.SurveyResult
	access access
	own    string // our own member's client URL on this machine; "" is none
	fit    func(url string) bool
}

// lookCluster asks the URLs that the survey names, each once and in parallel.
func (h *Host) lookCluster(ctx context.Context, a access, survey *operator.Survey) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	results := make(chan operator.Answer)
	var ears []*hearing
	healthy := false
	for pending := 0; ; pending-- {
		for _, url := range survey.Ask() {
			pending++
			ctx, ear := listen(ctx)
			ears = append(ears, ear)
			if healthy {
				ear.shorten()
			}
			go func() {
				defer ear.close()
				results <- h.probeHeard(ctx, a, url, survey.Own(url), ear.heard)
			}()
		}
		if pending == 0 {
			return
		}
		if survey.Add(<-results) && !healthy {
			healthy = true
			for _, ear := range ears {
				ear.shorten()
			}
		}
	}
}

// urls returns where to ask a listed member. Our own is asked on this machine: its advertised
// address may be one that only others can reach.
func (v *view) urls(id uint64, clientURLs []string) []string {
	if v.own != "" && slices.ContainsFunc(v.Answers, func(a operator.Answer) bool {
		return a.URL == v.own && a.MemberID == id
	}) {
		return []string{v.own}
	}
	return slices.DeleteFunc(slices.Clone(clientURLs), func(url string) bool { return !v.fits(url) })
}

// fits reports whether a URL that the member list names may be dialled.
func (v *view) fits(url string) bool { return v.fit == nil || v.fit(url) }

// localURL returns how to reach, on this machine, a server that listens on the first of listen
// (comma-separated URLs).
func localURL(listen string) string {
	first, _, _ := strings.Cut(listen, ",")
	u, err := url.Parse(first)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	switch u.Hostname() {
	case "0.0.0.0":
		u.Host = "127.0.0.1:" + u.Port()
	case "::":
		u.Host = "[::1]:" + u.Port()
	}
	return u.String()
}
