package load

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// undecided is a member that knows no leader, and is slow to say so.
type undecided struct {
	etcdserverpb.UnimplementedClusterServer
	etcdserverpb.UnimplementedMaintenanceServer
	url    string
	listed atomic.Int32
}

func (u *undecided) MemberList(context.Context, *etcdserverpb.MemberListRequest) (*etcdserverpb.MemberListResponse, error) {
	u.listed.Add(1)
	return &etcdserverpb.MemberListResponse{
		Header: &etcdserverpb.ResponseHeader{}, Members: []*etcdserverpb.Member{{ID: 1, Name: "etcd0", ClientURLs: []string{u.url}}},
	}, nil
}

func (u *undecided) Status(ctx context.Context, _ *etcdserverpb.StatusRequest) (*etcdserverpb.StatusResponse, error) {
	select {
	case <-ctx.Done():
	case <-time.After(syncInterval / 10):
	}
	return &etcdserverpb.StatusResponse{Header: &etcdserverpb.ResponseHeader{}}, nil
}

// TestLeaderAsksOnce asks for longer than a client waits before it syncs: a sync would change the
// client's endpoints, which Status reads without a lock (client.go, dial), while the questions go
// on.
func TestLeaderAsksOnce(t *testing.T) {
	t.Parallel()
	member, server := &undecided{}, grpc.NewServer()
	etcdserverpb.RegisterClusterServer(server, member)
	etcdserverpb.RegisterMaintenanceServer(server, member)
	web := httptest.NewUnstartedServer(server)
	web.EnableHTTP2 = true
	web.StartTLS()
	defer web.Close()
	member.url = web.URL
	target := Target{Endpoints: slices.Repeat([]string{web.URL}, 20), TLS: web.Client().Transport.(*http.Transport).TLSClientConfig}
	_, err := target.Leader(t.Context())
	require.ErrorContains(t, err, "nobody knows who leads")
	require.EqualValues(t, 1, member.listed.Load(), "the client asked for the members by itself")
}
