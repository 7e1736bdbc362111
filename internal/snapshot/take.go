package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/regular"
)

// Request is what to take and where to.
type Request struct {
	Dir     string // made if it is not there
	Unit    string
	Charm   string    // its version, for the record
	Etcdutl string    // the program that checks the database
	Users   ReadUsers // nil means that they are not read
	Now     time.Time
	Why     string // if it is kept apart (Meta.Why)
	Work    string // ID of the work that takes it, for the Meta
	// To is a path that the snapshot is also copied to, as plain as etcdctl saves one; "" is none.
	// The path must not exist.
	To string
	// Progress receives how far the work is: what is being done, and how many bytes of how many.
	// The total is 0 while it is not known. It may be nil.
	Progress func(what string, done, total int64)
}

// Take takes a snapshot from the one member that the client is connected to, verifies it, and keeps
// it. If that fails it keeps no snapshot, but a Meta that says why, which it returns with the
// error. If a regular snapshot fails because ctx ended, no Meta is kept. If only the copy to To
// fails, the snapshot is kept.
func Take(ctx context.Context, client *clientv3.Client, r Request) (Meta, error) {
	m := Meta{Taken: r.Now.UTC(), Unit: r.Unit, Charm: r.Charm, Why: r.Why, Work: r.Work}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return m, fmt.Errorf("cannot take a snapshot: %w", err)
	}
	if err := m.next(r.Dir, r.Now); err != nil {
		return m, fmt.Errorf("cannot take a snapshot: %w", err)
	}
	raw := filepath.Join(r.Dir, m.Name+".db"+partial)
	defer func() { _ = os.Remove(raw) }()
	err := func() error {
		if err := m.stream(ctx, client, raw, r); err != nil {
			return err
		}
		if err := m.check(ctx, raw, r); err != nil {
			return err
		}
		if err := m.store(ctx, raw, r); err != nil {
			return err
		}
		return m.write(r.Dir)
	}()
	if err == nil && r.To != "" {
		r.progress("copy to "+r.To, 0, m.Size)
		if err = export(ctx, raw, r.To); err != nil {
			return m, fmt.Errorf("snapshot %s is kept, but cannot be copied: %w", m.Name, err)
		}
	}
	if err != nil && r.Why == "" && ctx.Err() != nil {
		// The member was needed for something else: that failure need not be recorded.
		return m, fmt.Errorf("cannot take a snapshot: %w", err)
	}
	if err != nil {
		// First, because there may be no room for the Meta beside them.
		_, _ = os.Remove(m.file(r.Dir)), os.Remove(raw)
		m.Error, m.SHA256, m.Stored = err.Error(), "", 0
		return m, errors.Join(fmt.Errorf("cannot take a snapshot: %w", err), m.write(r.Dir))
	}
	return m, nil
}

// export copies a snapshot as it is to a path that does not exist yet.
func export(ctx context.Context, raw, to string) error {
	from, err := regular.Open(raw)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // it was only read
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("%s already exists", to)
	}
	out, err := os.OpenFile(to+partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, &interruptible{ctx, from})
	err = errors.Join(err, out.Sync(), out.Close())
	if err == nil {
		// A rename would replace a file that has appeared there meanwhile.
		err = os.Link(to+partial, to)
	}
	return errors.Join(err, os.Remove(to+partial), syncDir(filepath.Dir(to)))
}

func (r Request) progress(what string, done, total int64) {
	if r.Progress != nil {
		r.Progress(what, done, total)
	}
}

// stream writes the member's database to disk as fast as it can: a slow reader keeps freed pages
// from being used again, so that the database grows.
func (m *Meta) stream(ctx context.Context, client *clientv3.Client, raw string, r Request) error {
	// The server commits what it has before it begins. A linearizable read first makes sure that it
	// has all writes acknowledged so far.
	got, err := client.Get(ctx, "etcd-charm/", clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("the member does not answer a linearizable read: %w", err)
	}
	m.Cluster, m.Member = fmt.Sprintf("%x", got.Header.GetClusterId()),
		fmt.Sprintf("%x", got.Header.GetMemberId())
	total := int64(0)
	if status, err := client.Status(ctx, client.Endpoints()[0]); err == nil {
		total, m.EtcdVersion = status.DbSize, status.Version
	}
	answer, err := client.SnapshotWithVersion(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Snapshot.Close() }()
	m.StorageVersion = answer.Version
	f, err := os.OpenFile(raw, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	m.SHA256, m.Size, err = copyChecked(f, &counted{r: answer.Snapshot, say: func(n int64) {
		r.progress("copy", n, total)
	}}, false)
	if err != nil {
		return err
	}
	return f.Close()
}

// Status is what etcd's own check finds.
type Status struct {
	Revision int64  `json:"revision"`
	Keys     int    `json:"totalKey"`
	Size     int64  `json:"totalSize"`
	Version  string `json:"version"`
	Users    *Users `json:"-"` // what we read beside that; nil is not known
}

// DeepCheck has etcd check every page and key of a snapshot that passed the guard. It runs etcdutl.
func DeepCheck(ctx context.Context, etcdutl, file string) (Status, error) {
	cmd := exec.CommandContext(ctx, etcdutl, "snapshot", "status", file, "--write-out", "json")
	// The check keeps a note of each page and key while a member serves on the same machine: memory
	// matters more than time. First this process returns the memory that the copy took.
	cmd.Env = append(os.Environ(), "GOGC=25")
	debug.FreeOSMemory()
	var out, trouble strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &trouble
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil { // it was killed because ctx ended, which is the only error to report
			return Status{}, ctx.Err()
		}
		return Status{}, fmt.Errorf("etcd cannot read it: %w: %s", err, lastLine(trouble.String()))
	}
	var s Status
	if err := json.Unmarshal([]byte(out.String()), &s); err != nil {
		return Status{}, fmt.Errorf("etcd cannot read it: %w", err)
	}
	return s, nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func (m *Meta) check(ctx context.Context, raw string, r Request) error {
	r.progress("check", 0, m.Size)
	s, err := DeepCheck(ctx, r.Etcdutl, raw)
	if err != nil {
		return err
	}
	m.Revision, m.Keys, m.Users = s.Revision, s.Keys, r.Users.of(raw)
	if s.Version != "" {
		m.StorageVersion = s.Version
	}
	return nil
}

// store compresses the snapshot after its check. zstd's fastest level takes a third of a second of
// processor time for 100 MiB.
func (m *Meta) store(ctx context.Context, raw string, r Request) error {
	from, err := regular.Open(raw)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	path := m.file(r.Dir)
	to, err := os.OpenFile(path+partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _, _ = to.Close(), os.Remove(path+partial) }()
	z, err := zstd.NewWriter(to,
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	counts := &counted{r: from, say: func(n int64) { r.progress("compress", n, m.Size) }}
	if _, err := io.Copy(z, &interruptible{ctx, counts}); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := to.Sync(); err != nil {
		return err
	}
	info, err := to.Stat()
	if err != nil {
		return err
	}
	m.Stored = info.Size()
	if err := os.Rename(path+partial, path); err != nil {
		return err
	}
	return syncDir(r.Dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// counted reports how much was read, after each mebibyte.
type counted struct {
	r        io.Reader
	n, spoke int64
	say      func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.n-c.spoke >= 1<<20 || err != nil {
		c.spoke = c.n
		c.say(c.n)
	}
	return n, err
}

// interruptible ends with its context.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}
