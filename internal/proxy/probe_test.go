package proxy

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestProbeIsHarmlessToShow: what a member answers may be shown on a terminal, even if the member
// is an attacker's.
func TestProbeIsHarmlessToShow(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		return status.Error(codes.Internal, "oh\x1b[2J\u009b31m no")
	}))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	got := Probe(within(t, 30*time.Second), Config{Members: []Member{{Name: "a\x1b", ClientURL: "http://" + listener.Addr().String()}}})
	require.Len(t, got, 1)
	assert.Equal(t, "a�", got[0].Name)
	assert.Contains(t, got[0].Error, "oh�[2J�31m no")
}
