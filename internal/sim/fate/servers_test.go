package fate

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// buildServer builds the server that the charm carries and returns its path under the name etcd.
func buildServer(t *testing.T) string {
	t.Helper()
	etcd := filepath.Join(t.TempDir(), "etcd")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", etcd, "../../../cmd/etcd-charm")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return etcd
}

var networks atomic.Int32

// freshNetwork returns the first three bytes of loopback addresses on which nothing else listens.
func freshNetwork(t *testing.T) string {
	t.Helper()
	for range 1000 {
		n := os.Getpid()*7 + int(networks.Add(1))
		at := fmt.Sprintf("127.%d.%d.", 230+n/250%20, n%250)
		if l, err := net.Listen("tcp", at+"10:2380"); err == nil {
			require.NoError(t, l.Close())
			return at
		}
	}
	t.Fatal("no loopback network is free")
	return ""
}

// server is one real etcd server, for one unit of the model.
type server struct {
	etcd, dir, name string
	cmd             *exec.Cmd
	gone            chan struct{} // closed when the process has ended
	ip              string
	client          *clientv3.Client
	process, url    birth
}

// birth bounds the age of a process's or a URL's connections: began is when the process was started
// or the URL listed, seen when its connections were first seen.
type birth struct{ began, seen time.Time }

func born() birth { return birth{began: time.Now()} }

func (b *birth) see() {
	if b.seen.IsZero() {
		b.seen = time.Now()
	}
}

// young and old are true only beyond doubt; while neither is, nothing is asked.
func (b birth) young() bool { return time.Since(b.began) < surelyYoung }
func (b birth) old() bool   { return !b.seen.IsZero() && time.Since(b.seen) > surelyOld }

// doubtful reports whether a connection that was young may no longer be.
func (b birth) doubtful() bool { return !b.old() && time.Since(b.began) > youngSeconds*time.Second }

// since returns the same moment in the model's time.
func (b birth) since(now int64) int64 {
	if b.old() {
		return now - bootSeconds - youngSeconds
	}
	return now - bootSeconds
}

// start runs the process under an address; initial only counts on an empty data directory.
func (s *server) start(t *testing.T, ip, state, token, initial string) {
	t.Helper()
	s.ip, s.process, s.gone = ip, born(), make(chan struct{})
	peer, client := "http://"+ip+":2380", "http://"+ip+":2379"
	s.cmd = exec.Command(s.etcd,
		"--name", s.name, "--data-dir", s.dir, "--unsafe-no-fsync", "--log-level", "warn", "--logger", "zap",
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-metrics-urls", "http://"+ip+":2381",
		"--initial-cluster-state", state, "--initial-cluster-token", token, "--initial-cluster", initial)
	log, err := os.OpenFile(s.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, s.cmd.Start())
	go func() {
		defer close(s.gone)
		_ = s.cmd.Wait()
	}()
	s.hangUp()
	s.client, err = clientv3.New(clientv3.Config{Endpoints: []string{client}, Logger: zap.NewNop()})
	require.NoError(t, err)
}

func (s *server) hangUp() {
	if s.client != nil {
		_ = s.client.Close()
		s.client = nil
	}
}

func (s *server) alive() bool {
	if s.gone == nil {
		return false
	}
	select {
	case <-s.gone:
		return false
	default:
		return true
	}
}

// end ends the process and waits for it.
func (s *server) end(sig syscall.Signal) {
	if s.alive() {
		_ = s.cmd.Process.Signal(sig)
		<-s.gone
	}
	s.hangUp()
}

// view is what a real server reports of itself and of the cluster; a nil part was not answered.
type view struct {
	status *etcdserverpb.StatusResponse
	linear bool
	list   []*etcdserverpb.Member // only with linear
	active map[string]bool        // the members, by hexadecimal ID, from which it has recently heard
}

func (s *server) look(ctx context.Context) view {
	var v view
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	v.active = s.activePeers(ctx)
	short, done := context.WithTimeout(ctx, time.Second)
	defer done()
	maintenance := etcdserverpb.NewMaintenanceClient(s.client.ActiveConnection())
	if status, err := maintenance.Status(short, &etcdserverpb.StatusRequest{}); err == nil {
		v.status = status
	}
	if v.status == nil || v.status.IsLearner || v.status.Leader == 0 {
		return v
	}
	if _, err := s.client.Get(ctx, "look"); err == nil {
		if list, err := s.client.MemberList(ctx); err == nil {
			v.linear, v.list = true, list.Members
		}
	}
	return v
}

// activePeers reads what counts as active in strict reconfiguration from the server's metrics.
func (s *server) activePeers(ctx context.Context) map[string]bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.ip+":2381/metrics", nil)
	if err != nil {
		return nil
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	out := map[string]bool{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		labels, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "etcd_network_active_peers"), "} ")
		if _, remote, found := strings.Cut(labels, `Remote="`); ok && found && strings.HasPrefix(labels, "{Local=") {
			out[strings.TrimSuffix(remote, `"`)] = value == "1"
		}
	}
	return out
}
