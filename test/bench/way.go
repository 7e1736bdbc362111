package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/juju-charms/etcd-charm/internal/sim"
	"github.com/juju-charms/etcd-charm/test/load"
)

// way is how clients reach the cluster: directly, or through a process of its own.
type way struct {
	name string
	load.Target
	cmd *exec.Cmd // nil for the direct way
}

// ways are all of them to one cluster.
type ways struct {
	*juju // members, and a unit with role=proxy beside them
	all   []*way
}

const proxyUnit = "etcd-proxy/0"

func (b *bench) newWays(ctx context.Context, members int) (*ways, error) {
	// The transcript holds the client authority: see nameless.
	j, err := b.deployed(ctx, members, func(o *sim.Options) { o.Transcript = true })
	if err != nil {
		return nil, err
	}
	w := &ways{juju: j}
	err = errors.Join(
		j.do(ctx, "deploy", b.charm, "etcd-proxy", "--config", "role=proxy"),
		j.healthy(ctx, members),
		j.do(ctx, "integrate", "etcd:proxy", "etcd-proxy:upstream"),
		j.healthy(ctx, members),
		j.do(ctx, "wait", "--timeout", "2m", "etcd-proxy",
			fmt.Sprintf("^active .*%[1]d/%[1]d members", members)),
	)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Close ends the processes and the model.
func (w *ways) Close() error {
	w.end()
	return w.juju.Close()
}

func (w *ways) end() {
	for _, one := range w.all {
		if one.cmd != nil {
			_ = one.cmd.Process.Kill()
			_ = one.cmd.Wait()
		}
	}
	w.all = nil
}

// credentials are the files of the proxy's relation.
type credentials struct {
	CA   string `json:"ca"`
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// front is what the processes in front of the members need.
type front struct {
	urls, hosts []string
	members     []map[string]string
	credentials
	trusted *tls.Config
}

func (w *ways) front(ctx context.Context) (*front, error) {
	ask := w.ask(ctx)
	units, err := load.Units(ask)
	if err != nil {
		return nil, err
	}
	var f front
	for unit := range units {
		s, err := settingsOf(ask, unit)
		if err != nil {
			return nil, err
		}
		url := s["ETCD_ADVERTISE_CLIENT_URLS"]
		f.urls, f.hosts = append(f.urls, url), append(f.hosts, strings.TrimPrefix(url, "https://"))
		f.members = append(f.members, map[string]string{"name": s["ETCD_NAME"], "client_url": url})
	}
	config, err := load.Config(ask, proxyUnit)
	if err != nil {
		return nil, err
	}
	files := filepath.Join(config, "tls", "upstream")
	c := credentials{files + "-ca.crt", files + ".crt", files + ".key"}
	f.credentials = c
	f.trusted, err = load.Trust(func(name string) ([]byte, error) {
		return os.ReadFile(map[string]string{
			"client-ca.crt": c.CA, "admin.crt": c.Cert, "admin.key": c.Key,
		}[name])
	})
	return &f, err
}

// direct is the way without a process.
func (f *front) direct(name string) *way {
	return &way{name: name, Target: load.Target{Endpoints: f.urls, TLS: f.trusted, Fixed: true}}
}

// config writes the configuration of a proxy of ours that listens somewhere.
func (f *front) config(file, listen string) error { // JSON is YAML
	return writeJSON(file, map[string]any{
		"listen": []string{listen}, "credentials": f.credentials,
		"members": f.members,
	})
}

// open starts the processes that are wanted, each in front of all members.
func (w *ways) open(ctx context.Context, dir string, wanted func(way string) bool) error {
	f, err := w.front(ctx)
	if err != nil {
		return err
	}
	urls, hosts, c, trusted := f.urls, f.hosts, f.credentials, f.trusted
	w.all = []*way{f.direct("direct")}

	listen, err := freePort()
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "proxy.yaml")
	if err := f.config(file, listen); err != nil {
		return err
	}
	if wanted("proxy") {
		if err := w.process(ctx, "proxy", listen, nil,
			"etcd-charm", "proxy", "--config", file); err != nil {
			return err
		}
	}
	if listen, err = freePort(); err == nil && wanted("gateway") {
		err = w.process(ctx, "gateway", listen, trusted,
			"etcd", "gateway", "start", "--endpoints", strings.Join(hosts, ","), "--listen-addr", listen)
	}
	if err != nil {
		return err
	}
	if listen, err = freePort(); err == nil && wanted("grpc-proxy") {
		if c.Cert, c.Key, err = w.nameless(dir); err != nil {
			return err
		}
		err = w.process(ctx, "grpc-proxy", listen, nil,
			"etcd", "grpc-proxy", "start",
			"--endpoints", strings.Join(urls, ","),
			"--listen-addr", listen, "--advertise-client-url", listen,
			"--cacert", c.CA, "--cert", c.Cert, "--key", c.Key,
			"--data-dir", filepath.Join(dir, "grpc-proxy"))
	}
	return err
}

// process starts a program of the proxy's unit.
func (w *ways) process(
	ctx context.Context, name, listen string, trusted *tls.Config, program string, args ...string,
) error {
	path, err := w.program(ctx, proxyUnit, program)
	if err != nil {
		return err
	}
	return w.start(ctx, name, listen, trusted, path, args...)
}

// start starts a program that listens, and waits until it does.
func (w *ways) start(
	ctx context.Context, name, listen string, trusted *tls.Config, path string, args ...string,
) error {
	one := &way{name: name, Target: load.Target{
		Endpoints: []string{"http://" + listen}, TLS: trusted, Fixed: true,
	}}
	if trusted != nil {
		one.Endpoints[0] = "https://" + listen
	}
	one.cmd = exec.Command(path, args...)
	one.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	one.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := one.cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", name, err)
	}
	w.all = append(w.all, one)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return until(ctx, name+" to listen", func() bool {
		conn, err := net.Dial("tcp", listen)
		return err == nil && conn.Close() == nil
	})
}

// rss is the memory of a process in MiB.
func (w *way) rss() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("cannot look at %s: %w", w.name, err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kib, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("cannot read the memory of %s: %w", w.name, err)
	}
	return kib / 1024, nil
}

// spent is the processor time of a way's process so far; 0 if it has none. The threads' own
// accounts count nanoseconds, the process's count ticks of ten milliseconds.
func (w *way) spent() time.Duration {
	if w.cmd == nil {
		return 0
	}
	var all time.Duration
	// the pattern is good
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", w.cmd.Process.Pid))
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that ended meanwhile
		}
		ran, _, _ := strings.Cut(string(text), " ")
		nanoseconds, _ := strconv.ParseInt(ran, 10, 64) // the kernel's own number
		all += time.Duration(nanoseconds)
	}
	return all
}

// freePort is an address of this machine at which nothing listens.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot find a port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
