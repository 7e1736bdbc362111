package host

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// learning is a voter and its learner, which applies some entries between two looks at it. Each
// listens on its own address and answers what a promotion asks.
type learning struct {
	pb.UnimplementedClusterServer
	pb.UnimplementedMaintenanceServer

	mu       sync.Mutex
	urls     map[uint64]string
	index    uint64 // of the voter
	applied  uint64 // by the learner
	step     uint64
	looks    func()   // is called at each look at the learner
	promoted []uint64 // how far behind the learner was at its promotion
}

func (l *learning) promotions() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.promoted
}

const (
	theVoter   = 1
	theLearner = 2
)

// answering is one of the two.
type answering struct {
	*learning
	id uint64
}

func (a answering) MemberList(context.Context, *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &pb.MemberListResponse{Members: []*pb.Member{
		{ID: theVoter, Name: "etcd0", ClientURLs: []string{a.urls[theVoter]}},
		{ID: theLearner, Name: "etcd1", ClientURLs: []string{a.urls[theLearner]}, IsLearner: len(a.promoted) == 0},
	}}, nil
}

func (a answering) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &pb.StatusResponse{
		Header: &pb.ResponseHeader{MemberId: a.id}, RaftIndex: a.index, RaftAppliedIndex: a.index,
	}
	if a.id == theLearner {
		a.looks()
		a.applied = min(a.applied+a.step, a.index)
		s.RaftAppliedIndex = a.applied
	}
	return s, nil
}

func (a answering) MemberPromote(context.Context, *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.promoted = append(a.promoted, a.index-a.applied)
	return &pb.MemberPromoteResponse{}, nil
}

// TestPromotedOnceCaughtUp: etcd would promote a learner that lacks a tenth of the log, and a
// quorum might then have to wait for it.
func TestPromotedOnceCaughtUp(t *testing.T) {
	t.Parallel()
	now := time.Now()
	u, _ := dressed(t, &now)
	l := &learning{urls: map[uint64]string{}, index: 100_000, applied: 99_000 - 3*500 - 1, step: 500, looks: func() {}}
	pair, err := tls.LoadX509KeyPair(u.tls(certFile(serverName)), u.tls(keyFile(serverName)))
	require.NoError(t, err)
	for _, id := range []uint64{theVoter, theLearner} {
		listener, err := net.Listen("tcp", u.ip+":0")
		require.NoError(t, err)
		l.urls[id] = "https://" + listener.Addr().String()
		server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&pair)))
		pb.RegisterClusterServer(server, answering{l, id})
		pb.RegisterMaintenanceServer(server, answering{l, id})
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(server.Stop)
	}
	u.seen = view{access: u.access(nil)}
	u.seen.Answers = []operator.Answer{{URL: l.urls[theVoter], MemberID: theVoter, Self: operator.Member{Ready: true}}}

	require.NoError(t, u.Do(t.Context(), operator.Promote{ID: theLearner}))
	assert.Equal(t, []uint64{501}, l.promotions(), "as soon as it lacks fewer than %d entries, and once", promotionLag)

	// A learner that stays behind is never promoted, however often it is looked at.
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	l.mu.Lock()
	l.index, l.step, l.promoted, l.looks = 200_000, 0, nil, func() {
		if looks++; looks == 5 {
			cancel()
		}
	}
	l.mu.Unlock()
	require.ErrorContains(t, u.Do(ctx, operator.Promote{ID: theLearner}), errBehind.Error())
	assert.Empty(t, l.promotions())
}
