package host

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

const (
	// probeTime bounds the look at one member; a member without quorum lets a linearizable read hang.
	probeTime = 2500 * time.Millisecond
	// graceTime is how long members may still answer once one has shown that the cluster is healthy.
	graceTime = time.Second
)

// probe asks one member all that is to be known, over one connection: first what it says of itself, which also opens
// the connection; then, side by side, its own member list (the round trip) and two linearizable reads.
func (h *Host) probe(ctx context.Context, a access, url string, own bool) operator.Answer {
	out := operator.Answer{URL: url}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	m, err := a.dial(url)
	if err != nil {
		return out
	}
	defer ignoreClose(m)
	conn := m.ActiveConnection()
	// Not the client's Status, which dials a connection of its own.
	status, err := etcdserverpb.NewMaintenanceClient(conn).Status(ctx, &etcdserverpb.StatusRequest{})
	if err != nil {
		return out
	}
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
			resp, err := etcdserverpb.NewKVClient(conn).Range(ctx, &etcdserverpb.RangeRequest{Key: []byte(turnKey)})
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

// authEnabled asks a member whether authentication is on, by a token that none has given out: who does not ask for tokens
// does not look at it (server/v3 auth/store.go, AuthInfoFromCtx). The call AuthStatus would put an entry into the raft log
// at each look (v3_server.go), and needs a quorum. etcd's client repeats a call that such an answer ends, but no stream.
func authEnabled(ctx context.Context, conn *grpc.ClientConn) bool {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, "none"))
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

// ofItself is what a member's status says of it.
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

// view is what a look at the cluster found; steps use it to know whom to ask.
type view struct {
	operator.Sight
	access access
	own    string // our own member's client URL on this machine; "" is none
}

// lookCluster asks whom the survey names, each once and side by side.
func (h *Host) lookCluster(ctx context.Context, a access, survey *operator.Survey) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	results := make(chan operator.Answer)
	for pending := 0; ; pending-- {
		for _, url := range survey.Ask() {
			pending++
			go func() { results <- h.probe(ctx, a, url, survey.Own(url)) }()
		}
		if pending == 0 {
			return
		}
		if survey.Hear(<-results) {
			time.AfterFunc(graceTime, cancel)
		}
	}
}

// urls is where a listed member is asked. Our own is asked on this machine: the address that it advertises may be one
// that only others reach.
func (v *view) urls(id uint64, clientURLs []string) []string {
	if v.own != "" && slices.ContainsFunc(v.Answers, func(a operator.Answer) bool { return a.URL == v.own && a.MemberID == id }) {
		return []string{v.own}
	}
	return clientURLs
}

// localURL is how a server on this machine is reached that listens on the first of listen (comma-separated URLs).
func localURL(listen string) string {
	first, _, _ := strings.Cut(listen, ",")
	u, err := url.Parse(first)
	if err != nil || u.Host == "" {
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
