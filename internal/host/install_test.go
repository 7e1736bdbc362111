package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// carrying returns a host that carries a small file as its binary.
func carrying(t *testing.T, root, content string) *Host {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "charm")
	require.NoError(t, os.WriteFile(binary, []byte(content), 0o755))
	h := New(Options{Root: root, Unit: "etcd/0", Binary: binary})
	Supervised(t, h)
	return h
}

func release(t *testing.T, h *Host) string {
	t.Helper()
	name, err := carriedRelease(h.carried, h.stamp)
	require.NoError(t, err)
	assert.Regexp(t, `^3\.7\.\d+-[0-9a-f]{12}$`, name)
	return name
}

func TestInstall(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var names []string
	at := time.Now().Add(-time.Hour)
	for _, content := range []string{"a", "b", "c", "d"} {
		h := carrying(t, root, content)
		name := release(t, h)
		names = append(names, name)
		require.Error(t, h.Do(t.Context(), operator.Install{Release: "3.7.3-else"}))
		// What is left of a copy that was cut off is not a release, and does no harm.
		require.NoError(t, os.MkdirAll(filepath.Join(h.release(name+partial), "x"), 0o755))
		require.NoError(t, h.Do(t.Context(), operator.Install{Release: name}))
		require.NoError(t, h.Do(t.Context(), operator.Install{Release: name}), "twice")
		got, err := os.ReadFile(filepath.Join(h.release(name), "etcdctl"))
		require.NoError(t, err)
		assert.Equal(t, content, string(got))
		got, err = os.ReadFile(h.tool("etcdctl"))
		require.NoError(t, err)
		assert.Equal(t, content, string(got))
		at = at.Add(time.Minute)
		require.NoError(t, os.Chtimes(h.release(name), at, at))
		if len(names) == 1 {
			// The first release stays, however old, because the service runs it.
			require.NoError(t, h.supervisor.write(t.Context(), service{
				Kind: operator.MemberService, Argv: []string{filepath.Join(h.release(name), "etcd")},
			}))
		}
	}
	h := carrying(t, root, "d")
	assert.Equal(t, []string{names[3], names[2], names[0]}, h.installedReleases(names[3]))

	// A charm that was rolled back finds the release that it carries.
	var w operator.World
	require.NoError(t, carrying(t, root, "c").lookReleases(&w))
	assert.Equal(t, operator.World{Carried: names[2], Installed: names[2]}, w)
	w = operator.World{}
	require.NoError(t, carrying(t, root, "e").lookReleases(&w))
	assert.Equal(t, names[3], w.Installed)

	for path, mode := range map[string]os.FileMode{
		h.tls(""): 0o750, h.state(): 0o750, h.data(): 0o700, h.etc(): 0o755, h.binary(names[3]): 0o755,
	} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), path)
	}
}

func TestEtcdctlLink(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lay  func(*testing.T, *Host) string // returns what the link should be after
		file bool
	}{
		"a file of the administrator's": {func(t *testing.T, h *Host) string {
			t.Helper()
			require.NoError(t, os.WriteFile(h.tool("etcdctl"), []byte("x"), 0o755))
			return ""
		}, true},
		"a link elsewhere": {func(t *testing.T, h *Host) string {
			t.Helper()
			require.NoError(t, os.Symlink("/usr/bin/true", h.tool("etcdctl")))
			return "/usr/bin/true"
		}, false},
		"a former release of ours": {func(t *testing.T, h *Host) string {
			t.Helper()
			require.NoError(t, os.Symlink(filepath.Join(h.release("old"), "etcdctl"), h.tool("etcdctl")))
			return filepath.Join(h.release("new"), "etcdctl")
		}, false},
		"a unit that lives here": {func(t *testing.T, h *Host) string {
			t.Helper()
			other := filepath.Join(filepath.Dir(h.opt()), "other-0", "1", "etcdctl")
			require.NoError(t, os.MkdirAll(filepath.Dir(other), 0o755))
			require.NoError(t, os.WriteFile(other, nil, 0o755))
			require.NoError(t, os.Symlink(other, h.tool("etcdctl")))
			return other
		}, false},
		"a unit that is gone": {func(t *testing.T, h *Host) string {
			t.Helper()
			require.NoError(t, os.Symlink(filepath.Join(filepath.Dir(h.opt()), "other-0", "1", "etcdctl"), h.tool("etcdctl")))
			return filepath.Join(h.release("new"), "etcdctl")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := New(Options{Root: t.TempDir(), Unit: "etcd/0"})
			require.NoError(t, os.MkdirAll(filepath.Dir(h.tool("etcdctl")), 0o755))
			want := tt.lay(t, h)
			require.NoError(t, h.linkTools("new"))
			got, err := os.Readlink(h.tool("etcdctl"))
			assert.Equal(t, tt.file, err != nil)
			assert.Equal(t, want, got)
		})
	}
}

func TestBuildID(t *testing.T) {
	t.Parallel()
	self, err := os.Open("/proc/self/exe")
	require.NoError(t, err)
	defer self.Close()
	assert.GreaterOrEqual(t, len(buildID(self)), 20)
	text, err := os.Open("install_test.go")
	require.NoError(t, err)
	defer text.Close()
	assert.Empty(t, buildID(text))
	assert.NotEqual(t, release(t, carrying(t, "", "a")), release(t, carrying(t, "", "b")))
}

// The release names the server and the proxy in it, if the build was stamped.
func TestStampedRelease(t *testing.T) {
	t.Parallel()
	h := carrying(t, t.TempDir(), "a")
	plain := release(t, h)
	h.stamp = "s0123456789ab-pba9876543210"
	w := operator.World{}
	require.NoError(t, h.lookReleases(&w))
	assert.Equal(t, strings.Replace(plain, "-", "-s0123456789ab-pba9876543210-", 1), w.Carried)
	require.NoError(t, h.Do(t.Context(), operator.Install{Release: w.Carried}))
	require.NoError(t, h.lookReleases(&w))
	assert.Equal(t, w.Carried, w.Installed)
	assert.Equal(t, "0123456789ab", operator.ServerID(w.Installed))
	assert.Equal(t, "ba9876543210", operator.ProxyID(w.Installed))
}

// A process that still runs the former copy has the etcdctl of the new one, which was linked when
// the new copy was installed.
func TestEtcdctlIsTheNewestCopys(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	former := carrying(t, root, "former")
	runs := release(t, former)
	require.NoError(t, former.Do(t.Context(), operator.Install{Release: runs}))
	h := carrying(t, root, "new")
	require.NoError(t, h.Do(t.Context(), operator.Install{Release: release(t, h)}))
	for _, step := range []operator.Step{
		operator.WriteMember{Server: operator.Server{Release: runs, ListenClient: []string{"https://127.0.0.1:2379"}}},
		operator.WriteProxy{Upstream: operator.Upstream{Release: runs, Listen: []string{"127.0.0.1:2379"}}},
	} {
		require.NoError(t, h.Do(t.Context(), step))
		got, err := os.ReadFile(h.tool("etcdctl"))
		require.NoError(t, err)
		assert.Equal(t, "new", string(got), step.String())
	}
}

func TestEtcdctlEnv(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.prepare()
	s := u.server(operator.Initial{})
	s.ListenClient = []string{"https://0.0.0.0:2379"}
	u.do(operator.WriteMember{Server: s})
	env, err := EtcdctlEnv(u.binary(s.Release))
	require.NoError(t, err)
	assert.Contains(t, env, "ETCDCTL_ENDPOINTS=https://127.0.0.1:2379")
	assert.Contains(t, env, "ETCDCTL_KEY="+u.tls("admin.key"))
	env, err = EtcdctlEnv("/usr/bin/etcdctl")
	require.NoError(t, err)
	assert.Empty(t, env)

	// Settings that could not be read back identically are refused whole.
	s.Name = "a'b"
	require.ErrorContains(t, u.Do(t.Context(), operator.WriteMember{Server: s}), "ETCD_NAME")
	w := u.look()
	s.Name = "etcd0"
	assert.Equal(t, s.Digest(), w.WrittenConfig)
	assert.Equal(t, s.Initial, w.WrittenInitial)
}

func TestSpendInitial(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.do(operator.SpendInitial{}) // before anything is written
	u.prepare()
	s := u.server(operator.Initial{New: true, Token: "t", Cluster: "etcd0=" + u.url(2380)})
	u.do(operator.WriteMember{Server: s})
	require.Equal(t, s.Initial, u.look().WrittenInitial)
	u.do(operator.SpendInitial{})
	u.do(operator.SpendInitial{})
	spent, err := os.ReadFile(u.memberEnv())
	require.NoError(t, err)
	assert.Zero(t, u.look().WrittenInitial)
	s.Initial = operator.Initial{}
	u.do(operator.WriteMember{Server: s})
	written, err := os.ReadFile(u.memberEnv())
	require.NoError(t, err)
	assert.Equal(t, string(written), string(spent), "the rest is as it was")
}
