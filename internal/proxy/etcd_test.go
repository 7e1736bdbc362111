package proxy

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

// memberBehind returns the ID of the member that a client's connection leads to.
func memberBehind(ctx context.Context, cli *clientv3.Client) (uint64, error) {
	r, err := cli.Get(ctx, "behind", clientv3.WithSerializable())
	if err != nil {
		return 0, err
	}
	return r.Header.MemberId, nil
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	c := shared.get(t)
	cli := startProxy(t, c.config()).client(t)
	ctx := within(t, 20*time.Second)

	t.Run("put and get", func(t *testing.T) {
		big := strings.Repeat("x", 1<<20)
		_, err := cli.Put(ctx, "grpc/big", big)
		require.NoError(t, err)
		r, err := cli.Get(ctx, "grpc/big")
		require.NoError(t, err)
		require.Len(t, r.Kvs, 1)
		assert.Equal(t, big, string(r.Kvs[0].Value))
	})
	t.Run("watch", func(t *testing.T) {
		w := cli.Watch(clientv3.WithRequireLeader(ctx), "grpc/watched")
		_, err := c.client(t).Put(ctx, "grpc/watched", "seen")
		require.NoError(t, err)
		ev := <-w
		require.NoError(t, ev.Err())
		require.Len(t, ev.Events, 1)
		assert.Equal(t, "seen", string(ev.Events[0].Kv.Value))
	})
	t.Run("lease", func(t *testing.T) {
		l, err := cli.Grant(ctx, 60)
		require.NoError(t, err)
		_, err = cli.KeepAliveOnce(ctx, l.ID)
		require.NoError(t, err)
		_, err = cli.Revoke(ctx, l.ID)
		require.NoError(t, err)
	})
	t.Run("transaction", func(t *testing.T) {
		r, err := cli.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision("grpc/new"), "=", 0)).
			Then(clientv3.OpPut("grpc/new", "1")).Commit()
		require.NoError(t, err)
		assert.True(t, r.Succeeded)
	})
	t.Run("snapshot", func(t *testing.T) {
		r, err := cli.Snapshot(ctx)
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, r)
		require.NoError(t, err)
		assert.Greater(t, n, int64(1<<20))
	})
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	c := shared.get(t)
	r := startProxy(t, c.config())
	_, err := c.client(t).Put(within(t, 10*time.Second), "http/key", "value")
	require.NoError(t, err)

	assert.Contains(t, httpGet(t, "http://"+r.addr+"/version"), `"etcdserver":"3.7`)
	assert.Contains(t, httpGet(t, "http://"+r.addr+"/health"), `"health":"true"`)

	body := `{"key":"` + base64.StdEncoding.EncodeToString([]byte("http/key")) + `"}`
	resp, err := http.Post("http://"+r.addr+"/v3/kv/range", "application/json", bytes.NewBufferString(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	var out struct {
		Kvs []struct {
			Value []byte `json:"value"`
		} `json:"kvs"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&out))
	require.Len(t, out.Kvs, 1)
	assert.Equal(t, "value", string(out.Kvs[0].Value))
}

func httpGet(tb testing.TB, url string) string {
	tb.Helper()
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Get(url)
	require.NoError(tb, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(tb, err)
	return string(body)
}

// TestProviders tries what providers in the field publish.
func TestProviders(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opts clusterOptions
	}{
		{"four keys and one CA: /members tells the port", clusterOptions{size: 2, clientPort: "4001"}},
		{"cluster key only, http: /members tells the port", clusterOptions{size: 2, plain: true, clientPort: "4001"}},
		{"four keys and two CAs: port 2379 is guessed", clusterOptions{size: 2, twoCAs: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, tt.opts)
			cfg := c.config()
			for i := range cfg.Members {
				cfg.Members[i].ClientURL = ""
			}
			cli := startProxy(t, cfg).client(t)
			require.Eventually(t, func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := cli.Put(ctx, "a", "b")
				return err == nil
			}, 2*time.Minute, 50*time.Millisecond)

			got := Probe(within(t, 10*time.Second), cfg)
			require.Len(t, got, 2)
			for i, p := range got {
				assert.Equal(t, c.nodes[i].member.ClientURL, p.ClientURL)
				assert.Empty(t, p.Error)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	c := shared.get(t)
	cfg := c.config()
	cfg.Members = append(cfg.Members, Member{Name: "gone", ClientURL: "https://" + freshIP(t) + ":2379"})
	got := Probe(within(t, 10*time.Second), cfg)
	require.Len(t, got, 4)
	for i, p := range got[:3] {
		assert.Equal(t, c.nodes[i].name, p.Name)
		assert.Equal(t, c.nodes[i].member.ClientURL, p.ClientURL)
		assert.True(t, p.Reachable)
		assert.Positive(t, p.RTT)
		assert.Positive(t, p.CertRemaining)
		assert.Less(t, p.CertRemaining, 2*365*24*time.Hour)
		assert.Equal(t, "3.7.3", p.Version)
		assert.Empty(t, p.Error)
	}
	assert.Equal(t, "gone", got[3].Name)
	assert.False(t, got[3].Reachable)
	assert.Contains(t, got[3].Error, "refused")
}

// TestRefused: a cluster that wants mutual TLS refuses a client that has no certificate, or one of
// another authority, and the client learns it at once.
func TestRefused(t *testing.T) {
	t.Parallel()
	c := shared.get(t)
	foreign := newAuthority(t, "foreign").clientFiles(t, t.TempDir())
	replaceFile(t, foreign.CA, c.ca.pem)
	untrusting := c.creds
	untrusting.CA = newAuthority(t, "other").clientFiles(t, t.TempDir()).CA
	tests := []struct {
		name  string
		creds Credentials
		want  string
	}{
		{"no credentials", Credentials{}, "no usable credentials"},
		{"a certificate of a foreign authority", foreign, "unknown certificate authority"},
		{"a server that we do not trust", untrusting, "signed by unknown authority"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := c.config()
			cfg.Credentials = tt.creds
			for _, p := range Probe(within(t, 10*time.Second), cfg) {
				assert.False(t, p.Reachable)
				assert.Contains(t, p.Error, tt.want)
			}
			r := startProxy(t, cfg)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := r.client(t).Get(ctx, "a")
			require.Error(t, err)
		})
	}
}
