package host

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

func TestOwnerFile(t *testing.T) {
	t.Parallel()
	h := New(Options{Root: t.TempDir(), Unit: "etcd/0"})
	owner := operator.Owner{Model: "5f9d2c3e-0000-4000-8000-000000000000", Unit: "etcd/0"}
	require.Error(t, h.Do(t.Context(), operator.Claim{Owner: owner}), "no data")
	writeWAL(t, filepath.Join(h.data(), "member", "wal"), 7, 8)
	assert.Equal(t, operator.Owner{}, h.lookData().Owner)
	for range 2 {
		require.NoError(t, h.Do(t.Context(), operator.Claim{Owner: owner}))
		assert.Equal(t, owner, h.lookData().Owner)
	}
	require.NoError(t, h.Do(t.Context(), operator.MoveAside{Why: "a test"}))
	aside, err := filepath.Glob(h.data() + ".*-a-test/member/etcd-charm.json")
	require.NoError(t, err)
	assert.Len(t, aside, 1, "it moves with the data")

	writeWAL(t, filepath.Join(h.data(), "member", "wal"), 7, 8)
	for name, text := range map[string]string{
		"empty": "", "garbage": "\x00", "of a form to come": `{"version":9,"model":"m","unit":"etcd/0","more":[]}`,
		"no unit": `{"version":1,"model":"m"}`, "large": strings.Repeat(" ", 1<<17) + `{"version":1,"model":"m","unit":"etcd/0"}`,
	} {
		require.NoError(t, os.WriteFile(h.ownerFile(), []byte(text), 0o600))
		want := operator.Owner{}
		if name == "of a form to come" {
			want = operator.Owner{Model: "m", Unit: "etcd/0"}
		}
		assert.Equal(t, want, h.lookData().Owner, name)
	}
	require.NoError(t, os.Remove(h.ownerFile()))
	require.NoError(t, syscall.Mkfifo(h.ownerFile(), 0o600))
	assert.Equal(t, operator.Owner{}, h.lookData().Owner, "a pipe is not read")
}

// The server's user may put a link into the data directory; root must not follow it anywhere.
func TestOwnerFileLeadsNowhere(t *testing.T) {
	t.Parallel()
	h := New(Options{Root: t.TempDir(), Unit: "etcd/0"})
	owner := operator.Owner{Model: "5f9d2c3e-0000-4000-8000-000000000000", Unit: "etcd/0"}
	elsewhere := t.TempDir()
	require.NoError(t, os.MkdirAll(h.data(), 0o700))
	require.NoError(t, os.Symlink(elsewhere, filepath.Dir(h.ownerFile())))
	require.Error(t, h.Do(t.Context(), operator.Claim{Owner: owner}))
	left, err := os.ReadDir(elsewhere)
	require.NoError(t, err)
	assert.Empty(t, left, "nothing was written through the link")

	require.NoError(t, os.Remove(filepath.Dir(h.ownerFile())))
	require.NoError(t, os.Mkdir(filepath.Dir(h.ownerFile()), 0o700))
	victim := filepath.Join(elsewhere, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("somebody's"), 0o644))
	require.NoError(t, os.Symlink(victim, h.ownerFile()))
	require.NoError(t, h.Do(t.Context(), operator.Claim{Owner: owner}))
	assert.Equal(t, owner, h.lookOwner())
	text, err := os.ReadFile(victim)
	require.NoError(t, err)
	assert.Equal(t, "somebody's", string(text), "the link was replaced, not followed")
}

func TestLogEnd(t *testing.T) {
	t.Parallel()
	entries := func(term uint64, indices ...uint64) []*raftpb.Entry {
		var out []*raftpb.Entry
		for _, i := range indices {
			out = append(out, &raftpb.Entry{Term: &term, Index: &i, Data: []byte("x")})
		}
		return out
	}
	save := func(term uint64, indices ...uint64) func(*testing.T, *wal.WAL) {
		return func(t *testing.T, w *wal.WAL) {
			t.Helper()
			require.NoError(t, w.Save(&raftpb.HardState{Term: &term, Vote: new(uint64), Commit: new(uint64)}, entries(term, indices...)))
		}
	}
	for name, tt := range map[string]struct {
		changes []func(*testing.T, *wal.WAL)
		want    logEnd
	}{
		"none":                   {nil, logEnd{}},
		"some":                   {[]func(*testing.T, *wal.WAL){save(1, 1, 2, 3)}, logEnd{1, 3}},
		"a tail is written over": {[]func(*testing.T, *wal.WAL){save(1, 1, 2, 3, 4), save(2, 2)}, logEnd{2, 2}},
		"the leader sent a snapshot": {[]func(*testing.T, *wal.WAL){save(1, 1, 2), func(t *testing.T, w *wal.WAL) {
			t.Helper()
			term, index := uint64(3), uint64(90)
			require.NoError(t, w.SaveSnapshot(&walpb.Snapshot{Term: &term, Index: &index, ConfState: &raftpb.ConfState{}}))
		}}, logEnd{3, 90}},
	} {
		h := New(Options{Root: t.TempDir(), Unit: "etcd/0"})
		dir := filepath.Join(h.data(), "member", "wal")
		require.NoError(t, os.MkdirAll(filepath.Dir(dir), 0o700))
		w, err := wal.Create(zap.NewNop(), dir, []byte("m"))
		require.NoError(t, err)
		for _, change := range tt.changes {
			change(t, w)
			assert.NotPanics(t, func() { h.lookLogEnd() }, "while it is written")
		}
		require.NoError(t, w.Close())
		assert.Equal(t, tt.want, h.lookLogEnd(), name)
	}
	h := New(Options{Root: t.TempDir(), Unit: "etcd/0"})
	assert.Equal(t, logEnd{}, h.lookLogEnd(), "no log")
}

// dataDamage is damage to a data directory. says is what the charm reads in etcd's last log lines;
// "" means that etcd starts all the same.
type dataDamage struct {
	do   func(t *testing.T, dir string)
	says string
}

// on does something to the first file that matches the pattern.
func on(pattern string, do func(*os.File) error) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dir, "member", pattern))
		require.NoError(t, err)
		require.NotEmpty(t, found)
		f, err := os.OpenFile(found[0], os.O_RDWR, 0)
		require.NoError(t, err)
		require.NoError(t, do(f))
		require.NoError(t, f.Close())
	}
}

func garbage(at int64, length int) func(*os.File) error {
	return func(f *os.File) error {
		noise := make([]byte, length)
		_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // never fails
		_, err := f.WriteAt(noise, at)
		return err
	}
}

func cutTo(size int64) func(*os.File) error {
	return func(f *os.File) error { return f.Truncate(size) }
}

func remove(f *os.File) error { return os.Remove(f.Name()) }

var dataDamages = map[string]dataDamage{
	"none":             {func(*testing.T, string) {}, ""},
	"db garbage":       {on("snap/db", garbage(0, 20000)), "bad data"},
	"db pages garbage": {on("snap/db", garbage(3*4096, 6*4096)), "bad data"},
	"db cut":           {on("snap/db", cutTo(40960)), "unreadable"},
	"db empty":         {on("snap/db", cutTo(0)), "bad data"},
	"db missing":       {on("snap/db", remove), "bad data"},
	"log garbage":      {on("wal/*.wal", garbage(6000, 64)), "bad data"},
	"snapshot missing": {on("snap/*.snap", remove), ""},
	"a file of ours": {func(t *testing.T, dir string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "member", "etcd-charm.json"), []byte("{}"), 0o600))
	}, ""},
	"not permitted": {func(t *testing.T, dir string) {
		t.Helper()
		require.NoError(t, os.Remove(filepath.Join(dir, "member", "snap", "db")))
		require.NoError(t, os.Mkdir(filepath.Join(dir, "member", "snap", "db"), 0o700)) // root may read all else
	}, "unnamed"},
}

// TestDamagedData starts a real etcd on data with each damage. The charm must recognize what etcd
// says, and must be able to read how far the log goes, whatever else is damaged.
func TestDamagedData(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.fleet.config.SnapshotCount = 100
	u.found()
	u.put(130, strings.Repeat("x", 2000))
	w := u.eventually("the writes", func(w operator.World) bool { return w.Local.Index > 130 })
	said := w.Local
	u.do(operator.Stop{Why: "a test"})
	good := logEnd{said.Term, said.Index}
	end := u.lookLogEnd()
	assert.GreaterOrEqual(t, end.index, good.index)
	assert.Equal(t, good.term, end.term)
	env, err := envLines(u.memberEnv())
	require.NoError(t, err)
	binary := filepath.Join(u.release(lookup(env, "CHARM_RELEASE")), "etcd")
	for name, d := range dataDamages {
		dir := filepath.Join(t.TempDir(), "data")
		require.NoError(t, os.CopyFS(dir, os.DirFS(u.data())))
		require.NoError(t, os.Chmod(dir, 0o700))
		d.do(t, dir)
		log := u.runEtcd(binary, dir, env)
		ails := operator.Service{Kind: operator.MemberService, Failing: true, Log: cause(log)}.Ailment()
		if d.says == "" {
			assert.Contains(t, log, "ready to serve client requests", "%s: %s", name, cause(log))
			assert.NotContains(t, log, "found invalid file", name)
			continue
		}
		assert.Equal(t, d.says, ails, "%s: %s", name, cause(log))
	}
}

// put writes a key that many times.
func (u *unit) put(times int, value string) {
	u.t.Helper()
	m, err := u.access(u.fleet.authority).dial(u.url(u.fleet.config.Port))
	require.NoError(u.t, err)
	defer ignoreClose(m)
	for range times {
		_, err := m.Put(u.t.Context(), "k", value)
		require.NoError(u.t, err)
	}
}

// runEtcd runs the server on a directory until it ends by itself or serves, and returns its output.
func (u *unit) runEtcd(binary, dir string, env []string) string {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = append(slices.DeleteFunc(slices.Clone(env), func(line string) bool { return strings.HasPrefix(line, "ETCD_DATA_DIR=") }), "ETCD_DATA_DIR="+dir)
	path := filepath.Join(u.t.TempDir(), "log")
	out, err := os.Create(path)
	require.NoError(u.t, err)
	defer ignoreClose(out)
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(u.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			text, err := os.ReadFile(path)
			require.NoError(u.t, err)
			return string(text)
		case <-tick.C:
			text, err := os.ReadFile(path)
			require.NoError(u.t, err)
			if strings.Contains(string(text), "ready to serve client requests") {
				_ = cmd.Process.Signal(syscall.SIGTERM)
			}
		}
	}
}

// The text of the file is an interface: every later release reads it.
func TestOwnerText(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(ownerText{ownerVersion, "m", "etcd/0", ""})
	require.NoError(t, err)
	assert.JSONEq(t, `{"version":1,"model":"m","unit":"etcd/0"}`, string(text))
	text, err = json.Marshal(ownerText{ownerVersion, "m", "etcd/0", "restore-1"})
	require.NoError(t, err)
	assert.JSONEq(t, `{"version":1,"model":"m","unit":"etcd/0","prepared":"restore-1"}`, string(text))
}

// TestTakenBack replaces a follower's data with an older copy. The raft leader knows how far the
// log went, so the server ends again and again. The unit's memory shows the same from the log
// alone.
func TestTakenBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b, c := f.add(t), f.add(t), f.add(t)
	a.found()
	b.join()
	a.do(operator.AwaitPeer{})
	c.join()
	a.do(operator.AwaitPeer{})
	leads := func(w operator.World) bool { return len(w.Members) == 3 && w.Members[0].Leader == a.word.MemberID }
	a.eventually("three voters, led by the first", func(w operator.World) bool { return voters(w) == 3 && leads(w) })
	b.do(operator.Stop{Why: "a copy"})
	old := filepath.Join(t.TempDir(), "old")
	require.NoError(t, os.CopyFS(old, os.DirFS(b.data())))
	b.do(operator.Start{}, operator.AwaitReady{})
	a.put(40, "x")
	w := b.eventually("the writes", func(w operator.World) bool { return w.Local.Index > 40 && leads(w) })
	seen := operator.Seen{ClusterID: w.Data.ClusterID, MemberID: w.Data.MemberID, Term: w.Local.Term, Index: w.Local.Index}
	b.do(operator.Stop{Why: "a test"})
	m := b.model()
	m.Memory = operator.Know(operator.Memory{Seen: seen})
	end := func() uint64 {
		w, err := b.Observe(t.Context(), m)
		require.NoError(t, err)
		return w.Data.Index
	}
	assert.GreaterOrEqual(t, end(), seen.Index, "its own data")
	b.do(operator.MoveAside{Why: "a test"})
	require.NoError(t, os.CopyFS(b.data(), os.DirFS(old)))
	assert.Less(t, end(), seen.Index, "the copy")
	b.do(operator.Start{})
	w = b.eventually("the end of its server, again and again", func(w operator.World) bool { return w.Service.Failing })
	assert.Equal(t, "bad data", w.Service.Ailment(), w.Service.Log)
}
