package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"go.uber.org/zap"

	"github.com/juju-charms/etcd-charm/test/built"
)

// etcdEnv makes the test binary an etcd server. proxyEnv makes it a proxy with the configuration
// file that it names, of the variant that variantEnv names.
const (
	etcdEnv  = "PROXY_TEST_ETCD"
	proxyEnv = "PROXY_TEST_PROXY"

	variantEnv = "PROXY_TEST_VARIANT"
)

func TestMain(m *testing.M) {
	if os.Getenv(etcdEnv) != "" {
		etcdmain.Main(os.Args)
		return
	}
	if path := os.Getenv(proxyEnv); path != "" {
		variant := cmp.Or(Variant(os.Getenv(variantEnv)), Shipped)
		if err := runAs(context.Background(), variant, path, slog.New(slog.DiscardHandler)); err != nil {
			panic(err)
		}
		return
	}
	code := m.Run()
	shared.stop()
	os.Exit(code)
}

// shared is one TLS cluster of three for the tests that do not harm it.
var shared sharedCluster

type sharedCluster struct {
	once sync.Once
	dir  string
	c    *cluster
}

func (s *sharedCluster) get(tb testing.TB) *cluster {
	tb.Helper()
	s.once.Do(func() {
		dir, err := os.MkdirTemp("", "proxy-test-") //nolint:usetesting // it outlives the test that happens to be first
		require.NoError(tb, err)
		s.dir = dir
		s.c = newCluster(tb, dir, clusterOptions{size: 3, clientPort: "2479"})
		s.c.start(tb)
	})
	require.NotNil(tb, s.c, "the shared cluster did not start")
	return s.c
}

func (s *sharedCluster) stop() {
	if s.c != nil {
		s.c.stop()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

type clusterOptions struct {
	size       int
	plain      bool   // http, no credentials
	twoCAs     bool   // another CA on the peer port
	clientPort string // default 2379
}

// node is one etcd process.
type node struct {
	name, ip string
	member   Member
	args     []string
	log      string
	cmd      *exec.Cmd
	gone     chan struct{}
}

type cluster struct {
	dir   string
	nodes []*node
	creds Credentials // of a client, no CN and no SANs
	ca    *authority
	opts  clusterOptions
}

// startCluster starts a cluster that ends with the test.
func startCluster(tb testing.TB, opts clusterOptions) *cluster {
	tb.Helper()
	c := newCluster(tb, tb.TempDir(), opts)
	tb.Cleanup(c.stop)
	c.start(tb)
	return c
}

func newCluster(tb testing.TB, dir string, opts clusterOptions) *cluster {
	tb.Helper()
	if opts.clientPort == "" {
		opts.clientPort = "2379"
	}
	c := &cluster{dir: dir, opts: opts}
	if !opts.plain {
		c.ca = newAuthority(tb, "client")
		c.creds = c.ca.clientFiles(tb, filepath.Join(dir, "consumer"))
	}
	peerCA := c.ca
	if opts.twoCAs {
		peerCA = newAuthority(tb, "peer")
	}
	for i := range opts.size {
		c.nodes = append(c.nodes, c.newNode(tb, fmt.Sprintf("m%d", i), peerCA))
	}
	var initial []string
	for _, n := range c.nodes {
		initial = append(initial, n.name+"="+n.member.PeerURL)
	}
	for _, n := range c.nodes {
		n.args = append(n.args, "--initial-cluster", strings.Join(initial, ","))
	}
	return c
}

func (c *cluster) newNode(tb testing.TB, name string, peerCA *authority) *node {
	tb.Helper()
	scheme := "https"
	if c.opts.plain {
		scheme = "http"
	}
	ip := freshIP(tb)
	n := &node{name: name, ip: ip, log: filepath.Join(c.dir, name+".log"), gone: make(chan struct{})}
	n.member = Member{Name: name, PeerURL: scheme + "://" + ip + ":2380", ClientURL: scheme + "://" + ip + ":" + c.opts.clientPort}
	n.args = []string{
		"--name", name, "--data-dir", filepath.Join(c.dir, name), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-peer-urls", n.member.PeerURL, "--initial-advertise-peer-urls", n.member.PeerURL,
		"--listen-client-urls", n.member.ClientURL, "--advertise-client-urls", n.member.ClientURL,
	}
	if !c.opts.plain {
		sf := c.ca.serverFiles(tb, filepath.Join(c.dir, name+"-server"), ip)
		pf := peerCA.serverFiles(tb, filepath.Join(c.dir, name+"-peer"), ip)
		n.args = append(n.args,
			"--cert-file", sf.Cert, "--key-file", sf.Key, "--trusted-ca-file", sf.CA, "--client-cert-auth",
			"--peer-cert-file", pf.Cert, "--peer-key-file", pf.Key, "--peer-trusted-ca-file", pf.CA, "--peer-client-cert-auth")
	}
	return n
}

func (c *cluster) start(tb testing.TB) {
	tb.Helper()
	for _, n := range c.nodes {
		n.start(tb)
	}
	cli := c.client(tb)
	require.Eventually(tb, func() bool {
		ctx, cancel := context.WithTimeout(tb.Context(), time.Second)
		defer cancel()
		for _, n := range c.nodes {
			if _, err := cli.Status(ctx, n.member.ClientURL); err != nil {
				return false
			}
		}
		_, err := cli.Get(ctx, "health")
		return err == nil
	}, 60*time.Second, 50*time.Millisecond, "cluster did not start: %s", c.logs())
}

func (n *node) start(tb testing.TB) {
	tb.Helper()
	out, err := os.Create(n.log)
	require.NoError(tb, err)
	defer out.Close()
	n.cmd = exec.Command(built.Self(tb), n.args...)
	n.cmd.Env = append(os.Environ(), etcdEnv+"=1")
	n.cmd.Stdout, n.cmd.Stderr = out, out
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(tb, n.cmd.Start())
	go func() {
		defer close(n.gone)
		_ = n.cmd.Wait()
	}()
}

// signal sends a signal to the node's process.
func (n *node) signal(tb testing.TB, sig syscall.Signal) {
	tb.Helper()
	require.NoError(tb, n.cmd.Process.Signal(sig))
	if sig != syscall.SIGSTOP {
		return
	}
	// Each thread stops when it next runs: on a busy machine one may still answer for a while.
	require.Eventually(tb, func() bool {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.cmd.Process.Pid))
		require.NoError(tb, err)
		for _, stat := range stats {
			text, err := os.ReadFile(stat)
			if err != nil || !strings.Contains(string(text), ") T ") {
				return false
			}
		}
		return len(stats) > 0
	}, 10*time.Second, time.Millisecond, "the process does not stop")
}

func (n *node) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	<-n.gone
}

func (c *cluster) stop() {
	for _, n := range c.nodes {
		n.kill()
	}
}

func (c *cluster) logs() string {
	var b strings.Builder
	for _, n := range c.nodes {
		data, err := os.ReadFile(n.log)
		if err == nil {
			fmt.Fprintf(&b, "\n%s: %s", n.name, data[max(0, len(data)-1500):])
		}
	}
	return b.String()
}

// config is the configuration that follows from a provider that publishes everything.
func (c *cluster) config() Config {
	cfg := Config{Credentials: c.creds}
	for _, n := range c.nodes {
		cfg.Members = append(cfg.Members, n.member)
	}
	return cfg
}

// client is a client that reaches the members directly.
func (c *cluster) client(tb testing.TB) *clientv3.Client {
	tb.Helper()
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, n.member.ClientURL)
	}
	cfg := clientv3.Config{Endpoints: urls, DialTimeout: 5 * time.Second}
	if !c.opts.plain {
		creds, err := loadCredentials(c.creds)
		require.NoError(tb, err)
		cfg.TLS = creds.base.Clone()
	}
	return newClient(tb, cfg)
}

func newClient(tb testing.TB, cfg clientv3.Config) *clientv3.Client {
	tb.Helper()
	cfg.Logger = zap.NewNop()
	cli, err := clientv3.New(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		if err := cli.Close(); !errors.Is(err, context.Canceled) {
			require.NoError(tb, err)
		}
	})
	return cli
}

var ips atomic.Int64

// freshIP gives a loopback address of its own to each server, so that all can
// use etcd's own ports: 127.64–127.127.x.y, the start depending on the process.
func freshIP(tb testing.TB) string {
	tb.Helper()
	for range 1000 {
		n := int64(os.Getpid())*131 + ips.Add(1)
		ip := net.IPv4(127, byte(64+n>>16&63), byte(n>>8), byte(1+n%250)).String()
		if free(ip, "2379") && free(ip, "2380") {
			return ip
		}
	}
	tb.Fatal("no loopback address is free")
	return ""
}

func free(ip, port string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
