package host

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/webproxy"
)

// TestHooksAskNoWebProxy: Juju passes the model's web proxies to each hook, and Go reads them once
// in each process.
func TestHooksAskNoWebProxy(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer web.Close()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, "look", t.TempDir())
	for _, name := range webproxy.Vars() {
		if !strings.EqualFold(name, "NO_PROXY") {
			cmd.Env = append(cmd.Env, name+"="+web.URL)
		}
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "unreachable")
	assert.Zero(t, asked.Load(), "asked of the web proxy")
}

// lookElsewhere looks for a member at an unused address (RFC 5737) and asks for its health.
// Programs never use a web proxy for a loopback address.
func lookElsewhere(ctx context.Context, root string) {
	h := New(Options{Root: root, Unit: "etcd/0"})
	authority, err := h.NewAuthority("etcd")
	if err != nil {
		panic(err)
	}
	unitBag := operator.UnitBag{ClusterID: 7, MemberID: 7, PeerURL: "https://198.51.100.7:2380", ClientURL: "https://198.51.100.7:2379"}
	w, err := h.Observe(ctx, operator.Model{
		Unit: "etcd/0", App: "etcd", Authority: operator.Know(authority),
		Units: operator.Know(map[string]operator.Life{"etcd/0": operator.Alive, "etcd/1": operator.Alive}),
		Cluster: operator.Know(operator.Cluster{
			AppBag: operator.AppBag{ClusterID: 7}, UnitBags: map[string]operator.UnitBag{"etcd/1": unitBag},
		}),
	})
	if err != nil {
		panic(err)
	}
	healthy(ctx, "http://198.51.100.7:2381", "/readyz")
	fmt.Println(w.Reach)
}
