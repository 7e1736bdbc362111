package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/secondlife"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// secondLife compares snapshots and restores of a large database with etcd's own tools, and counts
// what is lost when all members are killed. It takes long, and runs only when asked for.
func (b *bench) secondLife(ctx context.Context) error {
	t, err := b.tools()
	if err != nil {
		return err
	}
	var large, kills error
	if b.wants("snapshot.", "restore.") {
		large = b.large(ctx, t)
	}
	if b.wants("recover.", "bare.recover.") {
		kills = b.killed(ctx, t)
	}
	return errors.Join(large, kills)
}

// programs are etcd and its tools as they are in the charm, with a directory to work in.
type programs struct{ dir, etcd, etcdctl, etcdutl string }

func (b *bench) tools() (programs, error) {
	dir := filepath.Join(b.dir, "second-life")
	at := func(name string) string { return filepath.Join(dir, "bin", name) }
	t := programs{dir, at("etcd"), at("etcdctl"), at("etcdutl")}
	err := os.MkdirAll(filepath.Join(dir, "bin"), 0o700)
	for _, link := range []string{t.etcd, t.etcdctl, t.etcdutl} {
		err = errors.Join(err, os.RemoveAll(link),
			os.Symlink(filepath.Join(b.next, "bin", "etcd-charm"), link))
	}
	return t, err
}

// unit is the unit for which data is restored or recovered.
func (t programs) unit(data string) secondlife.Unit {
	return secondlife.Unit{
		Data: data, Prepared: filepath.Join(t.dir, "prepared"), Snapshots: filepath.Join(t.dir, "kept"),
		Drilled: filepath.Join(t.dir, "drill.json"), Etcd: t.etcd, Etcdutl: t.etcdutl, Now: time.Now,
	}
}

// file is a snapshot as etcdctl saves it.
func (t programs) file() string { return filepath.Join(t.dir, "saved.db") }

// startAll starts servers and waits until they are ready.
func startAll(ctx context.Context, all ...*server) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, s := range all {
		if err := s.start(); err != nil {
			return err
		}
	}
	for _, s := range all {
		if err := s.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// plain makes n servers of one cluster, without certificates, that have not been started.
func (t programs) plain(name string, n int) ([]*server, error) {
	var all []*server
	var initial []string
	for i := range n {
		s := &server{
			binary:   t.etcd,
			settings: settings{"ETCD_NAME": fmt.Sprintf("m%d", i), "ETCD_LOG_LEVEL": "error"},
		}
		for _, port := range []struct{ listen, advertise string }{
			{"ETCD_LISTEN_CLIENT_URLS", "ETCD_ADVERTISE_CLIENT_URLS"},
			{"ETCD_LISTEN_PEER_URLS", "ETCD_INITIAL_ADVERTISE_PEER_URLS"},
			{"ETCD_LISTEN_METRICS_URLS", ""},
		} {
			address, err := freePort()
			if err != nil {
				return nil, err
			}
			s.settings[port.listen] = "http://" + address
			if port.advertise != "" {
				s.settings[port.advertise] = "http://" + address
			}
		}
		s.settings["ETCD_DATA_DIR"] = filepath.Join(t.dir, name, s.settings["ETCD_NAME"])
		s.settings["ETCD_QUOTA_BACKEND_BYTES"] = "8589934592"
		initial = append(initial,
			s.settings["ETCD_NAME"]+"="+s.settings["ETCD_INITIAL_ADVERTISE_PEER_URLS"])
		all = append(all, s)
	}
	for _, s := range all {
		s.settings["ETCD_INITIAL_CLUSTER"] = strings.Join(initial, ",")
	}
	return all, nil
}

func (s *server) client() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: []string{s.settings["ETCD_ADVERTISE_CLIENT_URLS"]}, Logger: zap.NewNop(),
	})
}

// large takes snapshots of a member with a large database during writes, by us and by etcdctl in
// turns, and restores one, by us and by etcdutl.
func (b *bench) large(ctx context.Context, t programs) (err error) {
	all, err := t.plain("large", 1)
	if err != nil {
		return err
	}
	s := all[0]
	defer func() {
		err = errors.Join(err, s.end(syscall.SIGKILL),
			os.RemoveAll(filepath.Join(t.dir, "large")), os.RemoveAll(t.file()))
	}()
	if err := startAll(ctx, s); err != nil {
		return err
	}
	progress("second-life: fill %d MiB", b.mib)
	if err := fill(ctx, s, b.mib); err != nil {
		return err
	}
	for i := range b.pairs {
		progress("second-life: snapshots %d of %d", i+1, b.pairs)
		if err := b.snapshots(ctx, t, s, i%2 == 0); err != nil {
			return err
		}
	}
	if !b.wants("restore.") {
		return nil
	}
	file := t.file()
	if err := runTool(ctx, t.etcdctl, "--endpoints="+s.settings["ETCD_ADVERTISE_CLIENT_URLS"],
		"snapshot", "save", file); err != nil {
		return err
	}
	// frees its space
	if err := errors.Join(s.end(syscall.SIGTERM),
		os.RemoveAll(s.settings["ETCD_DATA_DIR"])); err != nil {
		return err
	}
	for i := range b.pairs {
		progress("second-life: restores %d of %d", i+1, b.pairs)
		if err := b.restores(ctx, t, file, i%2 == 0); err != nil {
			return err
		}
	}
	return nil
}

const valueSize = 8 << 10

// fill writes values of 8 KiB, all different.
func fill(ctx context.Context, s *server, mib int) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	const batch = 64
	for i := 0; i < mib<<20/valueSize; i += batch {
		var ops []clientv3.Op
		for k := range batch {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("/registry/pods/default/pod-%07d", i+k), pod(i+k)))
		}
		if _, err := c.Txn(ctx).Then(ops...).Commit(); err != nil {
			return fmt.Errorf("cannot fill the database: %w", err)
		}
	}
	return nil
}

func pod(i int) string {
	line := fmt.Sprintf(`{"kind":"Pod","metadata":{"name":"pod-%07d","uid":"%016x"},`,
		i, uint64(i)*0x9e3779b97f4a7c15)
	return strings.Repeat(line, valueSize/len(line)+1)[:valueSize]
}

// snapshots takes one pair of snapshots.
func (b *bench) snapshots(ctx context.Context, t programs, s *server, first bool) error {
	var theirs, ours taken
	var theirGap, ourGap time.Duration
	turns := []func() error{
		func() (err error) {
			theirGap, err = gapDuring(ctx, s, func() error { theirs, err = t.save(ctx, s); return err })
			return err
		},
		func() (err error) {
			ourGap, err = gapDuring(ctx, s, func() error { ours, err = t.take(ctx, s); return err })
			return err
		},
	}
	if !first {
		turns[0], turns[1] = turns[1], turns[0]
	}
	for _, turn := range turns {
		if err := turn(); err != nil {
			return err
		}
	}
	b.add("snapshot.throughput-ratio", "ratio", theirs.Copied/ours.Copied)
	b.add("snapshot.anon-mib", "MiB", float64(ours.anon.all)/(1<<20))
	b.add("snapshot.own-anon-mib", "MiB", float64(ours.anon.own)/(1<<20))
	b.add("snapshot.gap-ratio", "ratio", float64(ourGap)/float64(theirGap))
	b.add("snapshot.seconds", "s", ours.Whole)
	b.add("bare.snapshot.seconds", "s", theirs.Whole)
	return nil
}

// taken is how long the parts of a snapshot took, in seconds.
type taken struct {
	Copied float64 `json:"copied"` // until the database was on disk
	Whole  float64 `json:"whole"`  // until it was verified and packed
	anon   anon
}

// save has etcdctl take a snapshot.
func (t programs) save(ctx context.Context, s *server) (taken, error) {
	file := filepath.Join(t.dir, "theirs.db")
	defer os.Remove(file)
	began := time.Now()
	err := runTool(ctx, t.etcdctl, "--endpoints="+s.settings["ETCD_ADVERTISE_CLIENT_URLS"],
		"snapshot", "save", file)
	took := time.Since(began).Seconds()
	return taken{Copied: took, Whole: took}, err
}

// takeCommand is the argument that makes this program take a snapshot in a process of its own.
const takeCommand = "take-snapshot"

// take takes a snapshot as long work does, in a process of its own, and watches that process's
// memory.
func (t programs) take(ctx context.Context, s *server) (taken, error) {
	dir := filepath.Join(t.dir, "kept")
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return taken{}, err
	}
	cmd := exec.CommandContext(ctx, self,
		takeCommand, s.settings["ETCD_ADVERTISE_CLIENT_URLS"], dir, t.etcdutl)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		return taken{}, err
	}
	watched := watchAnon(cmd.Process.Pid)
	err = cmd.Wait()
	var took taken
	if err = errors.Join(err, json.Unmarshal([]byte(out.String()), &took)); err != nil {
		return taken{}, fmt.Errorf("cannot take a snapshot: %w", err)
	}
	took.anon = watched()
	return took, nil
}

// takeSnapshot is what that process does.
func takeSnapshot(ctx context.Context, endpoint, dir, etcdutl string) error {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer c.Close()
	var took taken
	began := time.Now()
	_, err = snapshot.Take(ctx, c, snapshot.Request{
		Dir: dir, Unit: "etcd/0", Charm: "bench", Etcdutl: etcdutl, Now: began,
		Progress: func(what string, _, _ int64) {
			if what != "copy" && took.Copied == 0 {
				took.Copied = time.Since(began).Seconds()
			}
		},
	})
	took.Whole = time.Since(began).Seconds()
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(took))
}

// gapDuring returns the longest time in which none of eight writers had an answer while do ran.
func gapDuring(ctx context.Context, s *server, do func() error) (time.Duration, error) {
	c, err := s.client()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ctx, stop := context.WithCancel(ctx)
	var last, longest atomic.Int64
	began := time.Now()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				if _, err := c.Put(ctx, fmt.Sprintf("writer/%d", w), began.String()); err == nil {
					now := int64(time.Since(began))
					gap := now - last.Swap(now)
					for was := longest.Load(); gap > was && !longest.CompareAndSwap(was, gap); was = longest.Load() {
					}
				}
				select {
				case <-ctx.Done():
				case <-tick.C:
				}
			}
		})
	}
	err = do()
	stop()
	wg.Wait()
	return time.Duration(longest.Load()), err
}

// restores makes one pair of restores, of the same file on the same disk.
func (b *bench) restores(ctx context.Context, t programs, file string, first bool) error {
	var theirs, ours time.Duration
	turns := []func() error{
		func() error {
			to := filepath.Join(t.dir, "theirs")
			defer os.RemoveAll(to)
			began := time.Now()
			err := runTool(ctx, t.etcdutl, "snapshot", "restore", file, "--data-dir="+to)
			theirs = time.Since(began)
			return err
		},
		func() error {
			u := t.unit("")
			defer os.RemoveAll(u.Prepared)
			began := time.Now()
			_, err := u.PrepareRestore(ctx, life("restore", file), nil)
			ours = time.Since(began)
			return err
		},
	}
	if !first {
		turns[0], turns[1] = turns[1], turns[0]
	}
	for _, turn := range turns {
		if err := turn(); err != nil {
			return err
		}
	}
	b.add("restore.ratio-to-etcdutl", "ratio", float64(ours)/float64(theirs))
	b.add("restore.seconds", "s", ours.Seconds())
	b.add("bare.restore.seconds", "s", theirs.Seconds())
	return nil
}

// life is a request to prepare new data.
func life(id, snapshot string) operator.WorkRequest {
	return operator.WorkRequest{
		ID: id, Snapshot: snapshot,
		Name: "again", PeerURL: "http://127.0.0.1:1", Token: id,
	}
}

func runTool(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, out)
	}
	return nil
}
