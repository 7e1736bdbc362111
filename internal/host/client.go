package host

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// turnKey is the one key in etcd that names the unit which may take its member down.
const turnKey = "etcd-charm/turn"

// member is one open connection to one member.
type member struct {
	*clientv3.Client
	certUntil *atomic.Int64 // Unix seconds; 0 until the handshake
}

var errNoAccess = errors.New("no certificate to show to the cluster")

// dial opens a connection to one client URL; the first call connects it. Each member gets a client
// of its own, because what a member says about itself must come from that member.
func (a access) dial(url string) (member, error) { return a.dialHeard(url, func() {}) }

// dialHeard is dial that also calls heard when the member accepts the connection and again after
// the TLS handshake.
func (a access) dialHeard(url string, heard func()) (member, error) {
	if a.cert == nil {
		return member{}, errNoAccess
	}
	m := member{certUntil: new(atomic.Int64)}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{url},
		TLS: a.config(func(cert *x509.Certificate) {
			m.certUntil.Store(cert.NotAfter.Unix())
			heard()
		}),
		Logger: zap.NewNop(),
		// Juju passes the model's web proxies to hooks in the environment; members are not behind
		// one.
		DialOptions: []grpc.DialOption{
			grpc.WithNoProxy(),
			grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", to)
				if err == nil {
					heard()
				}
				return conn, err
			}),
		},
	})
	if err != nil {
		return member{}, fmt.Errorf("cannot open connection to %s: %w", url, err)
	}
	m.Client = client
	return m, nil
}

// within calls f with a deadline of its own.
func within[T any](
	ctx context.Context, d time.Duration, f func(context.Context) (T, error),
) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}

// healthy reports whether path of the metrics URL answers 200. That URL answers without a quorum,
// when the client port does not.
func healthy(ctx context.Context, metricsURL, path string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, metricsURL+path, nil)
	if err != nil {
		return false
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	defer ignoreClose(resp.Body)
	return resp.StatusCode == http.StatusOK
}
