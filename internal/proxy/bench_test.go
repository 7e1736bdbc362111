package proxy

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"gopkg.in/yaml.v3"
)

// sliceTime is how long each side runs before the other has its turn.
const sliceTime = 300 * time.Millisecond

// BenchmarkBesideDirect runs the same load straight to a member and through
// the proxy to the same member, in turns, and reports the medians of the
// paired ratios. Each client has a connection of its own; values are 256 B.
// "half" is eight clients paced at half of what eight unpaced ones reach
// directly. One iteration is one pair: use -benchtime=10x.
func BenchmarkBesideDirect(b *testing.B) {
	c := startCluster(b, clusterOptions{size: 3})
	cfg := c.config()
	cfg.Members = cfg.Members[:1] // the same member on both sides
	addr := startProxyProcess(b, cfg)
	creds, err := loadCredentials(c.creds)
	require.NoError(b, err)

	value := strings.Repeat("v", 256)
	ops := []struct {
		name string
		run  func(context.Context, *clientv3.Client, int) error
	}{
		{"put", func(ctx context.Context, cli *clientv3.Client, i int) error {
			_, err := cli.Put(ctx, fmt.Sprintf("bench/%d", i%1000), value)
			return err
		}},
		{"lin", func(ctx context.Context, cli *clientv3.Client, i int) error {
			_, err := cli.Get(ctx, fmt.Sprintf("bench/%d", i%1000))
			return err
		}},
		{"ser", func(ctx context.Context, cli *clientv3.Client, i int) error {
			_, err := cli.Get(ctx, fmt.Sprintf("bench/%d", i%1000), clientv3.WithSerializable())
			return err
		}},
	}
	for _, op := range ops {
		for _, load := range []string{"half", "1", "8", "64"} {
			b.Run(op.name+"/"+load, func(b *testing.B) {
				n := map[string]int{"half": 8, "1": 1, "8": 8, "64": 64}[load]
				direct := clients(b, n, clientv3.Config{Endpoints: []string{c.nodes[0].member.ClientURL}, TLS: creds.base})
				proxied := clients(b, n, clientv3.Config{Endpoints: []string{"http://" + addr}})
				var pace time.Duration
				if load == "half" {
					pace = time.Duration(float64(n) / (measure(b, direct, 0, op.run).rate / 2) * float64(time.Second))
				}
				measure(b, proxied, pace, op.run) // connections are made outside the count
				var rates, p50s []float64
				var last [2]sample
				for b.Loop() {
					last[0] = measure(b, direct, pace, op.run)
					last[1] = measure(b, proxied, pace, op.run)
					rates = append(rates, last[1].rate/last[0].rate)
					p50s = append(p50s, float64(last[1].p50)/float64(last[0].p50))
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(median(rates), "throughput-ratio")
				b.ReportMetric(median(p50s), "p50-ratio")
				b.ReportMetric(last[0].rate, "direct-req/s")
				b.ReportMetric(float64(last[0].p50.Microseconds()), "direct-p50-us")
			})
		}
	}
}

// startProxyProcess runs the proxy as a process of its own, as it is in life.
func startProxyProcess(b *testing.B, cfg Config) string {
	b.Helper()
	addr := net.JoinHostPort(freshIP(b), "2379")
	cfg.Listen = []string{addr}
	data, err := yaml.Marshal(cfg)
	require.NoError(b, err)
	path := filepath.Join(b.TempDir(), "proxy.yaml")
	replaceFile(b, path, data)
	self, err := os.Executable()
	require.NoError(b, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), proxyEnv+"="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(b, func() bool {
		c, err := net.Dial("tcp", addr)
		return err == nil && c.Close() == nil
	}, 10*time.Second, 10*time.Millisecond)
	return addr
}

func clients(b *testing.B, n int, cfg clientv3.Config) []*clientv3.Client {
	b.Helper()
	cfg.DialTimeout = 5 * time.Second
	var out []*clientv3.Client
	for range n {
		if cfg.TLS != nil {
			cfg.TLS = cfg.TLS.Clone()
		}
		out = append(out, newClient(b, cfg))
	}
	return out
}

type sample struct {
	rate float64 // requests per second
	p50  time.Duration
}

// measure runs op on every client for sliceTime, one request at a time each,
// and no faster than one in pace.
func measure(b *testing.B, cs []*clientv3.Client, pace time.Duration, op func(context.Context, *clientv3.Client, int) error) sample {
	b.Helper()
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	start := time.Now()
	end := start.Add(sliceTime)
	for k, cli := range cs {
		wg.Go(func() {
			var took []time.Duration
			next := time.Now().Add(pace * time.Duration(k) / time.Duration(len(cs)))
			for i := k; ; i += len(cs) {
				if pace > 0 {
					pause(b.Context(), time.Until(next), nil)
					next = next.Add(pace)
				}
				t0 := time.Now()
				if t0.After(end) {
					break
				}
				if err := op(b.Context(), cli, i); err != nil {
					b.Error(err)
					return
				}
				took = append(took, time.Since(t0))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
		})
	}
	wg.Wait()
	if len(all) == 0 {
		return sample{}
	}
	slices.Sort(all)
	return sample{rate: float64(len(all)) / time.Since(start).Seconds(), p50: all[len(all)/2]}
}

func median(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}
