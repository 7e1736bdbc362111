package proxy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestVariants: each kind of request works on one connection, gRPC and HTTP, over TLS, whatever
// carries the bytes.
func TestVariants(t *testing.T) {
	t.Parallel()
	c := shared.get(t)
	for _, v := range []Variant{Shipped, Unsorted, Plain} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			r := startProxyAs(t, v, c.config())
			cli := newClient(t, clientv3.Config{Endpoints: []string{"http://" + r.addr}})
			ctx := within(t, 2*time.Minute)
			require.NoError(t, uses(ctx, cli, "variant/"+string(v)))
			require.NoError(t, usesJSON(ctx, r.addr))
		})
	}
}
