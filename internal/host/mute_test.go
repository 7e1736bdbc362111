package host

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// hang mounts a file system that never answers over a directory: a process that looks there waits
// until the test ends.
func hang(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts")
	}
	fd, err := syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("this kernel has no FUSE: %v", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if err := syscall.Mount("never", dir, "fuse", 0, options); err != nil {
		_ = syscall.Close(fd)
		t.Skipf("FUSE cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		assert.NoError(t, syscall.Close(fd)) // the waiting processes get an error
		assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH))
	})
}

// TestMuteDisk: a disk that does not answer is named, and nothing is done or published; a unit that
// leaves is kept.
func TestMuteDisk(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(*unit) string{
		"settings": func(u *unit) string { return u.etc() },
		"data":     func(u *unit) string { return filepath.Join(u.data(), "member") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newFleet(t).add(t)
			u.prepare()
			require.NoError(t, os.MkdirAll(filepath.Join(u.data(), "member"), 0o700))
			hang(t, of(u))
			u.watch = time.Second // hanging calls go on until the test ends
			m := u.living()
			plan, w, err := operator.Reconcile(t.Context(), operator.Decide, operator.Event{Kind: hooks.UpdateStatus}, m, u.Host)
			require.NoError(t, err)
			require.Len(t, plan.Reasons, 1)
			assert.Contains(t, plan.Reasons[0].String(), of(u)+" does not answer")
			assert.Equal(t, operator.Blocked, plan.Status.Level)
			assert.NotEmpty(t, plan.Reasons[0].Remedy())
			assert.NoError(t, plan.Fail)
			plan.Reasons, plan.Status = nil, operator.Status{}
			assert.Equal(t, operator.Plan{}, plan)

			require.ErrorContains(t, w.Unseen(), of(u))
			leaves := operator.Decide(operator.Event{Kind: hooks.Stop}, m, w)
			require.ErrorContains(t, leaves.Fail, of(u))
		})
	}
}

// TestMuteStep: a step that hangs on a disk is left behind when its time is up, and the error names
// the place.
func TestMuteStep(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.prepare()
	hang(t, u.etc())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.ErrorContains(t, u.Do(ctx, operator.SpendInitial{}), u.etc()+" does not answer")
}

// TestWatched: a slow function is waited for, and its panic is passed to the caller.
func TestWatched(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	asked := make(chan struct{}, 1)
	result, path := watched(ctx, watchTime, func() string { asked <- struct{}{}; return "" }, func() int { <-asked; return 7 })
	assert.Equal(t, 7, result)
	assert.Empty(t, path)
	assert.Panics(t, func() { watched(ctx, watchTime, func() string { return "" }, func() int { panic("x") }) })
}

// TestFifosInData: a FIFO in the data directory blocks no look.
func TestFifosInData(t *testing.T) {
	t.Parallel()
	for name, lay := range map[string]func(*testing.T, string){
		"a segment": func(t *testing.T, member string) {
			t.Helper()
			require.NoError(t, os.MkdirAll(filepath.Join(member, "wal"), 0o700))
			require.NoError(t, syscall.Mkfifo(filepath.Join(member, "wal", "0000000000000000-0000000000000000.wal"), 0o600))
		},
		"the log": func(t *testing.T, member string) {
			t.Helper()
			require.NoError(t, syscall.Mkfifo(filepath.Join(member, "wal"), 0o600))
		},
		"the database": func(t *testing.T, member string) {
			t.Helper()
			require.NoError(t, os.MkdirAll(filepath.Join(member, "snap"), 0o700))
			require.NoError(t, os.Mkdir(filepath.Join(member, "snap", "db"), 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newFleet(t).add(t)
			member := filepath.Join(u.data(), "member")
			require.NoError(t, os.MkdirAll(member, 0o700))
			lay(t, member)
			data := u.lookData()
			assert.Equal(t, operator.AlienData, data.State)
			assert.NotEmpty(t, data.Problem)
		})
	}
}

// TestOnlyRegularFilesAreRead checks the sources of the code that reads a unit's files: package
// regular opens them. Files in /proc are the kernel's, and a directory is opened only to be synced.
func TestOnlyRegularFilesAreRead(t *testing.T) {
	t.Parallel()
	reads := map[string]bool{"os.ReadFile": true, "os.Open": true, "os.OpenFile": true, "tls.LoadX509KeyPair": true, "ioutil.ReadFile": true}
	found := 0
	for _, dir := range []string{".", "../proxy"} {
		sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		for _, source := range sources {
			if strings.HasSuffix(source, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, source, nil, 0)
			require.NoError(t, err)
			text, err := os.ReadFile(source)
			require.NoError(t, err)
			lines := strings.Split(string(text), "\n")
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				selector, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				of, ok := selector.X.(*ast.Ident)
				if !ok || !reads[of.Name+"."+selector.Sel.Name] {
					return true
				}
				line := lines[set.Position(call.Pos()).Line-1]
				found++
				assert.True(t, strings.Contains(line, `"/proc`) || strings.Contains(line, "os.Open(dir)"),
					"%s: %s", set.Position(call.Pos()), line)
				return true
			})
		}
	}
	assert.Positive(t, found)
}

// TestMayEnter: a directory's owner is judged by the owner's bits, even if others have more.
func TestMayEnter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	info, err := os.Stat(dir)
	require.NoError(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	uid, gid := int(stat.Uid), int(stat.Gid)
	for _, tt := range []struct {
		mode                os.FileMode
		owner, group, other bool
	}{
		{mode: 0o755, owner: true, group: true, other: true},
		{mode: 0o750, owner: true, group: true},
		{mode: 0o700, owner: true},
		{mode: 0o701, owner: true, other: true},
		{mode: 0o666},
		{mode: 0o011, group: true, other: true},
	} {
		require.NoError(t, os.Chmod(dir, tt.mode))
		info, err := os.Stat(dir)
		require.NoError(t, err)
		if uid != 0 {
			assert.Equal(t, tt.owner, owner{true, uid, gid}.mayEnter(info), tt.mode)
		}
		assert.Equal(t, tt.group, owner{true, uid + 1, gid}.mayEnter(info), tt.mode)
		assert.Equal(t, tt.other, owner{true, uid + 1, gid + 1}.mayEnter(info), tt.mode)
		assert.True(t, owner{set: true}.mayEnter(info), "root")
	}
	require.NoError(t, os.Chmod(dir, 0o700))
}

// TestShut: a directory that the charm does not make, and that keeps the service's user out, is
// named with the remedy.
func TestShut(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs a service as somebody else")
	}
	u, m := settledProxy(t)
	etc := filepath.Dir(filepath.Dir(u.etc()))
	require.NoError(t, os.Chmod(etc, 0o700))
	plan, err := u.hook(m)
	require.NoError(t, err)
	assert.Equal(t, operator.Blocked, plan.Status.Level)
	says := func() string { return fmt.Sprint(plan.Reasons) }
	assert.Contains(t, says(), etc+" does not let user daemon in; chmod o+x "+etc)

	// If a directory of ours was moved to another disk, the directories above its new place are
	// checked.
	require.NoError(t, os.Chmod(etc, 0o755))
	disk := filepath.Join(u.root, "disk")
	require.NoError(t, os.Mkdir(disk, 0o700))
	moved := filepath.Join(disk, "etcd-charm")
	require.NoError(t, os.Rename(filepath.Dir(u.etc()), moved))
	require.NoError(t, os.Symlink(moved, filepath.Dir(u.etc())))
	plan, err = u.hook(m)
	require.NoError(t, err)
	assert.Contains(t, says(), "chmod o+x "+disk)
	require.NoError(t, os.Chmod(disk, 0o755))
	plan, err = u.hook(m)
	require.NoError(t, err)
	assert.NotContains(t, says(), disk)
}

// TestCopiesAreCompared: a copy that was changed without a change in size is seen, and replaced.
func TestCopiesAreCompared(t *testing.T) {
	t.Parallel()
	h := carrying(t, t.TempDir(), "a program")
	name := release(t, h)
	require.NoError(t, h.Do(t.Context(), operator.Install{Release: name}))
	require.True(t, h.whole(name, name))
	remembered, err := os.ReadFile(h.compared())
	require.NoError(t, err)

	// The remembered result is used only while neither file has changed.
	require.NoError(t, os.WriteFile(h.binary(name), []byte("b program"), 0o755))
	assert.False(t, h.whole(name, name))
	require.NoError(t, h.Do(t.Context(), operator.Install{Release: name}))
	data, err := os.ReadFile(h.binary(name))
	require.NoError(t, err)
	assert.Equal(t, "a program", string(data))
	require.True(t, h.whole(name, name))
	again, err := os.ReadFile(h.compared())
	require.NoError(t, err)
	assert.NotEqual(t, string(remembered), string(again))

	// After a boot, or if the result cannot be written, the files are compared.
	require.NoError(t, os.RemoveAll(filepath.Dir(h.compared())))
	require.NoError(t, os.WriteFile(filepath.Dir(h.compared()), nil, 0o600))
	assert.True(t, h.whole(name, name))
}
