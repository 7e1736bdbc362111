package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/webproxy"
)

// elsewhere is an unused address (RFC 5737). Go uses no web proxy for a loopback address, so the
// member must have another.
const elsewhere = "198.51.100.7"

// webProxy refuses every request, and records its target.
type webProxy struct {
	mu    sync.Mutex
	asked []string
}

func (p *webProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	w.WriteHeader(http.StatusForbidden)
}

// behindWebProxy gives a unit's programs the variables of a web proxy, as Juju's options http-proxy
// and https-proxy and /etc/environment do. No program may have asked it when the test ends.
func behindWebProxy(t *testing.T, u unit) {
	t.Helper()
	p := &webProxy{}
	server := httptest.NewServer(p)
	for _, name := range webproxy.Vars() {
		if strings.ToUpper(name) != "NO_PROXY" {
			u.env[name] = server.URL
		}
	}
	t.Cleanup(func() {
		server.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		assert.Empty(t, p.asked, "asked of the web proxy")
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// memberEnv returns settings of a member that first asks another for the list of members, and ends
// without an answer.
func memberEnv(t *testing.T, dir string) map[string]string {
	t.Helper()
	peer, client := fmt.Sprintf("http://127.0.0.1:%d", freePort(t)), fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	return map[string]string{
		"ETCD_NAME": "etcd0", "ETCD_DATA_DIR": filepath.Join(dir, "data"),
		"ETCD_LISTEN_PEER_URLS": peer, "ETCD_INITIAL_ADVERTISE_PEER_URLS": peer,
		"ETCD_LISTEN_CLIENT_URLS": client, "ETCD_ADVERTISE_CLIENT_URLS": client,
		"ETCD_INITIAL_CLUSTER_STATE": "existing", "ETCD_INITIAL_CLUSTER": "etcd0=" + peer + ",etcd1=http://" + elsewhere + ":2380",
	}
}

const noAnswer = "cannot fetch cluster info from peer urls"

func TestEtcdAsksNoWebProxy(t *testing.T) {
	t.Parallel()
	u := unit{dir: t.TempDir(), env: memberEnv(t, t.TempDir())}
	behindWebProxy(t, u)
	code, stdout, stderr := u.call(t, "etcd")
	assert.NotZero(t, code)
	assert.Contains(t, stdout+stderr, noAnswer)
}

func TestEtcdctlAsksNoWebProxy(t *testing.T) {
	t.Parallel()
	u := unit{dir: t.TempDir(), env: map[string]string{}}
	behindWebProxy(t, u)
	for _, endpoint := range []string{"http://" + elsewhere + ":2379", "https://" + elsewhere + ":2379"} {
		code, _, _ := u.call(t, "etcdctl", "--endpoints="+endpoint, "--dial-timeout=2s", "--command-timeout=2s", "get", "x")
		assert.NotZero(t, code)
	}
}

// The proxy finds members by their peer URLs, and forwards clients to the client URLs.
func TestTheProxyAsksNoWebProxy(t *testing.T) {
	t.Parallel()
	u := unit{dir: t.TempDir(), env: map[string]string{}}
	behindWebProxy(t, u)
	listen := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	config := filepath.Join(u.dir, "proxy.yaml")
	require.NoError(t, os.WriteFile(config, []byte("listen: ["+listen+"]\nmembers:\n- {name: a, peer_url: 'http://"+elsewhere+":2380'}\n"+
		"- {name: b, client_url: 'http://"+elsewhere+":2379'}\n"), 0o600))
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(u.dir, "etcd-charm")))
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, filepath.Join(u.dir, "etcd-charm"), "proxy", "--config", config)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	for key, value := range u.env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	require.NoError(t, cmd.Start())
	client := &http.Client{Transport: &http.Transport{}}
	assert.Eventually(t, func() bool { // it answers, or closes the connection, after it has tried all members
		conn, err := net.Dial("tcp", listen)
		if err != nil {
			return false
		}
		conn.Close()
		resp, err := client.Get("http://" + listen + "/version")
		if err == nil {
			resp.Body.Close()
		}
		return true
	}, 50*time.Second, 50*time.Millisecond)
	stop()
	_ = cmd.Wait()
}
