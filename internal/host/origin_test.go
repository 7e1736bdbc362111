package host

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNoOriginIsAllowed: no answer of a member lets a browser pass it to a page of any origin.
func TestNoOriginIsAllowed(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	pair, err := tls.LoadX509KeyPair(u.tls(certFile(adminName)), u.tls(keyFile(adminName)))
	require.NoError(t, err)
	ca, err := os.ReadFile(u.tls(clientTrustFile))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(ca))
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool},
	}}
	defer client.CloseIdleConnections()
	requests := []struct{ method, url string }{
		{http.MethodPost, u.url(u.fleet.config.Port) + "/v3/kv/range"},
		{http.MethodOptions, u.url(u.fleet.config.Port) + "/v3/kv/range"},
		{http.MethodGet, u.url(u.fleet.config.Port) + "/version"},
		{http.MethodGet, fmt.Sprintf("http://%s:%d/metrics", u.ip, u.fleet.config.MetricsPort)},
	}
	for _, r := range requests {
		for _, origin := range []string{"", "null", "http://evil.example", "https://none.invalid", u.url(u.fleet.config.Port)} {
			req, err := http.NewRequestWithContext(t.Context(), r.method, r.url, strings.NewReader(`{"key":"YQ=="}`))
			require.NoError(t, err)
			if origin != "" {
				req.Header.Set("Origin", origin)
			}
			resp, err := client.Do(req)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, http.StatusOK, resp.StatusCode, r)
			for name := range resp.Header {
				assert.False(t, strings.HasPrefix(name, "Access-Control-"), "%s %s from %q: %s", r.method, r.url, origin, name)
			}
		}
	}
}
