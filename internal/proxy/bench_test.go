package proxy

import (
	"context"
	"crypto/tls"
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
	h2 "golang.org/x/net/http2"
	"gopkg.in/yaml.v3"
)

// sliceTime is how long each side runs before the other has its turn.
const sliceTime = 300 * time.Millisecond

// BenchmarkBesideDirect runs the same load directly against a member and through the proxy to the
// same member, in turns. It reports the medians of the paired ratios, and what the proxy's process
// spends on a request: CPU time and context switches, which a busy machine disturbs less than any
// latency. Each client has a connection of its own; values are 256 B. "half" is eight clients paced
// at half of what eight unpaced ones reach directly. One iteration is one pair: use -benchtime=10x.
//
// Both sides start warm, and every other pair begins with the proxied side. Otherwise the side that
// runs second would always gain or lose by whatever drifts (the store grows, other work on the
// machine comes and goes). Only the direct client uses TLS, as in production.
func BenchmarkBesideDirect(b *testing.B) {
	c := startCluster(b, clusterOptions{size: 3})
	cfg := c.config()
	cfg.Members = cfg.Members[:1] // the same member on both sides
	addr, pid := startProxyProcess(b, cfg)
	creds, err := loadCredentials(c.creds)
	require.NoError(b, err)

	value := strings.Repeat("v", 256)
	ops := []struct {
		name string
		run  operation
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
				measure(b, direct, 0, op.run) // connections are made outside the count
				measure(b, proxied, 0, op.run)
				var pace time.Duration
				if load == "half" {
					pace = time.Duration(float64(n) / (saturated(b, direct, op.run) / 2) * float64(time.Second))
				}
				var rates, p50s []float64
				var d, p sample
				var spent usage
				for i := 0; b.Loop(); i++ {
					if i%2 == 0 {
						d = measure(b, direct, pace, op.run)
					}
					before := usageOf(b, pid)
					p = measure(b, proxied, pace, op.run)
					spent = spent.plus(usageOf(b, pid).minus(before), p.requests)
					if i%2 == 1 {
						d = measure(b, direct, pace, op.run)
					}
					rates = append(rates, p.rate/d.rate)
					p50s = append(p50s, float64(p.p50)/float64(d.p50))
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(median(rates), "throughput-ratio")
				b.ReportMetric(median(p50s), "p50-ratio")
				b.ReportMetric(d.rate, "direct-req/s")
				b.ReportMetric(float64(d.p50.Microseconds()), "direct-p50-us")
				b.ReportMetric(float64(spent.cpu.Nanoseconds())/1e3/float64(spent.requests), "proxy-cpu-us/req")
				b.ReportMetric(float64(spent.switches)/float64(spent.requests), "proxy-switches/req")
			})
		}
	}
}

// BenchmarkFreshConnection does what is slow on a connection that nobody has used: it reads 4 MB
// twice, for which the windows have to grow, and opens streams. It reports the medians of the
// times. Use -benchtime=20x.
func BenchmarkFreshConnection(b *testing.B) {
	c := startCluster(b, clusterOptions{size: 1})
	addr, _ := startProxyProcess(b, c.config())
	creds, err := loadCredentials(c.creds)
	require.NoError(b, err)
	cfgs := []clientv3.Config{
		{Endpoints: []string{c.nodes[0].member.ClientURL}, TLS: creds.base},
		{Endpoints: []string{"http://" + addr}},
	}
	cli := clients(b, 1, cfgs[0])[0]
	for i := range 4 {
		_, err := cli.Put(b.Context(), fmt.Sprintf("large/%d", i), strings.Repeat("v", 1_000_000))
		require.NoError(b, err)
	}
	lease, err := cli.Grant(b.Context(), 600)
	require.NoError(b, err)
	readAll := func(ctx context.Context, cli *clientv3.Client, _ int) error {
		_, err := cli.Get(ctx, "large/", clientv3.WithPrefix())
		return err
	}
	steps := []struct {
		name string
		run  operation
	}{
		{"1st-4MB", readAll},
		{"2nd-4MB", readAll},
		{"watch", func(ctx context.Context, cli *clientv3.Client, _ int) error {
			r, ok := <-cli.Watch(ctx, "watched", clientv3.WithCreatedNotify())
			if !ok {
				return ctx.Err()
			}
			return r.Err()
		}},
		{"keepalive", func(ctx context.Context, cli *clientv3.Client, _ int) error {
			_, err := cli.KeepAliveOnce(ctx, lease.ID)
			return err
		}},
	}
	took := map[string][]float64{}
	for b.Loop() {
		for side, cfg := range cfgs {
			cli := clients(b, 1, cfg)[0]
			_, err := cli.Get(b.Context(), "connect")
			require.NoError(b, err)
			for _, s := range steps {
				t0 := time.Now()
				require.NoError(b, s.run(b.Context(), cli, 0))
				key := []string{"direct-", "proxy-"}[side] + s.name
				took[key] = append(took[key], float64(time.Since(t0).Microseconds())/1e3)
			}
			require.NoError(b, cli.Close())
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, s := range steps {
		for _, side := range []string{"direct-", "proxy-"} {
			b.ReportMetric(median(took[side+s.name]), side+s.name+"-ms")
		}
	}
}

// BenchmarkKeepalive measures how long the answer to a keepalive's PING takes, beside
// clients that make requests as fast as they can.
func BenchmarkKeepalive(b *testing.B) {
	c := startCluster(b, clusterOptions{size: 1})
	addr, _ := startProxyProcess(b, c.config())
	creds, err := loadCredentials(c.creds)
	require.NoError(b, err)
	for _, load := range []int{0, 16} {
		for _, side := range []string{"direct", "proxy"} {
			b.Run(fmt.Sprintf("%s/%d", side, load), func(b *testing.B) {
				ctx, stop := context.WithCancel(b.Context())
				var busy sync.WaitGroup
				cfg := clientv3.Config{Endpoints: []string{"http://" + addr}}
				if side == "direct" {
					cfg = clientv3.Config{Endpoints: []string{c.nodes[0].member.ClientURL}, TLS: creds.base}
				}
				for _, cli := range clients(b, load, cfg) {
					busy.Go(func() {
						for ctx.Err() == nil {
							_, _ = cli.Get(ctx, "busy")
						}
					})
				}
				conn, err := net.Dial("tcp", addr)
				if side == "direct" {
					conn, err = tls.Dial("tcp", c.nodes[0].ip+":2379", creds.config(c.nodes[0].ip, alpnH2))
				}
				require.NoError(b, err)
				defer conn.Close()
				_, err = conn.Write([]byte(h2.ClientPreface))
				require.NoError(b, err)
				f := h2.NewFramer(conn, conn)
				require.NoError(b, f.WriteSettings())
				var took []float64
				for b.Loop() {
					t0 := time.Now()
					require.NoError(b, f.WritePing(false, [8]byte{}))
					for {
						frame, err := f.ReadFrame()
						require.NoError(b, err)
						if ping, ok := frame.(*h2.PingFrame); ok && ping.IsAck() {
							break
						}
					}
					took = append(took, float64(time.Since(t0).Microseconds())/1e3)
				}
				stop()
				busy.Wait()
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(median(took), "p50-ms")
				b.ReportMetric(took[len(took)-1], "max-ms") // median has sorted them
			})
		}
	}
}

// saturated is the rate that clients reach unpaced, the median of a few slices: other work on the
// machine may disturb a single one.
func saturated(b *testing.B, cs []*clientv3.Client, op operation) float64 {
	b.Helper()
	var rates []float64
	for range 5 {
		rates = append(rates, measure(b, cs, 0, op).rate)
	}
	return median(rates)
}

// usage is what a process has spent, and on how many requests.
type usage struct {
	cpu      time.Duration
	switches int64
	requests int
}

func (u usage) minus(o usage) usage {
	return usage{cpu: u.cpu - o.cpu, switches: u.switches - o.switches}
}

func (u usage) plus(o usage, requests int) usage {
	return usage{cpu: u.cpu + o.cpu, switches: u.switches + o.switches, requests: u.requests + requests}
}

// usageOf adds up what the threads of a process have spent: schedstat counts
// nanoseconds, where the process's own times are in ticks of ten milliseconds.
func usageOf(b *testing.B, pid int) usage {
	b.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	require.NoError(b, err)
	var u usage
	for _, task := range tasks {
		var cpu, waited, runs int64
		data, err := os.ReadFile(filepath.Join(task, "schedstat"))
		require.NoError(b, err)
		_, err = fmt.Sscan(string(data), &cpu, &waited, &runs)
		require.NoError(b, err)
		u.cpu += time.Duration(cpu)
		u.switches += runs
	}
	return u
}

// startProxyProcess runs the proxy as a process of its own, as in production.
func startProxyProcess(b *testing.B, cfg Config) (addr string, pid int) {
	b.Helper()
	addr = net.JoinHostPort(freshIP(b), "2379")
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
	}, 2*time.Minute, 10*time.Millisecond)
	return addr, cmd.Process.Pid
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

// operation makes one request; i differs for each.
type operation func(ctx context.Context, cli *clientv3.Client, i int) error

type sample struct {
	requests int
	rate     float64 // requests per second
	p50      time.Duration
}

// measure runs op on every client for sliceTime, one request at a time each, and no faster than one
// in pace. The rate counts what was done within the slice: a last request that takes long is waited
// for, and must not lower the rate.
func measure(b *testing.B, cs []*clientv3.Client, pace time.Duration, op operation) sample {
	b.Helper()
	var mu sync.Mutex
	var all []time.Duration
	inTime := 0
	var wg sync.WaitGroup
	end := time.Now().Add(sliceTime)
	for k, cli := range cs {
		wg.Go(func() {
			var took []time.Duration
			done := 0
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
				t1 := time.Now()
				took = append(took, t1.Sub(t0))
				if !t1.After(end) {
					done++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			inTime += done
		})
	}
	wg.Wait()
	if len(all) == 0 {
		return sample{}
	}
	slices.Sort(all)
	return sample{requests: len(all), rate: float64(inTime) / sliceTime.Seconds(), p50: all[len(all)/2]}
}

func median(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}
