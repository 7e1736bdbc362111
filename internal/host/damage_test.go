package host

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// somebody is a user that every machine has. The test makes no user, so when it runs as root this
// one runs the service.
const somebody = "daemon"

// stranger is a user that owns nothing of ours.
const stranger = 12345

// damage changes what lies at a path. It needs root if it changes an owner.
type damage struct {
	name string
	root bool
	do   func(path string) error
}

func write(change func([]byte) []byte) func(string) error {
	return func(path string) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		// A new file, because the kernel refuses a write to a program that runs.
		return errors.Join(os.Remove(path), os.WriteFile(path, change(data), info.Mode().Perm()), os.Chmod(path, info.Mode().Perm()))
	}
}

func mode(m fs.FileMode) func(string) error {
	return func(path string) error { return os.Chmod(path, m) }
}

func replaced(by func(string) error) func(string) error {
	return func(path string) error { return errors.Join(os.RemoveAll(path), by(path)) }
}

func linkTo(target string) func(string) error {
	return func(path string) error { return os.Symlink(target, path) }
}

func plainFile(path string) error { return os.WriteFile(path, []byte("somebody's\n"), 0o644) }

func (d damage) String() string { return d.name }

// damages are the damages to a regular file, to a directory and to a link.
var damages = map[fs.FileMode][]damage{
	0: {
		{"removed", false, os.Remove},
		{"empty", false, write(func([]byte) []byte { return nil })},
		{"half", false, write(func(data []byte) []byte { return data[:len(data)/2] })},
		{"last line lost", false, write(func(data []byte) []byte {
			return data[:bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n')+1]
		})},
		{"garbage", false, write(func(data []byte) []byte { return bytes.Repeat([]byte("x"), len(data)) })},
		{"mode 0", false, mode(0)},
		{"mode 0666", false, mode(0o666)},
		{"a directory", false, replaced(func(path string) error { return os.Mkdir(path, 0o755) })},
		{"a full directory", false, replaced(func(path string) error {
			return errors.Join(os.Mkdir(path, 0o755), plainFile(filepath.Join(path, "note")))
		})},
		{"a link to /dev/null", false, replaced(linkTo(os.DevNull))},
		{"a fifo", false, replaced(func(path string) error { return syscall.Mkfifo(path, 0o600) })},
		{"a foreign owner", true, func(path string) error { return os.Chown(path, stranger, stranger) }},
	},
	fs.ModeDir: {
		{"removed", false, os.RemoveAll},
		{"mode 0777", false, mode(0o777)},
		{"mode 0", false, mode(0)},
		{"a foreign owner", true, func(path string) error { return os.Chown(path, stranger, stranger) }},
		{"a file", false, replaced(plainFile)},
	},
	fs.ModeSymlink: {
		{"removed", false, os.Remove},
		{"elsewhere", false, replaced(linkTo("/nowhere"))},
		{"a file", false, replaced(plainFile)},
		{"a directory", false, replaced(func(path string) error { return os.Mkdir(path, 0o755) })},
	},
}

// lying is what lies at a path.
type lying struct {
	Mode     fs.FileMode
	UID, GID uint32
	Target   string
	Content  string
}

// ours lists, by path, what the charm made on u's machine, without the content of its data.
func (u *unit) ours() map[string]lying {
	u.t.Helper()
	out := map[string]lying{}
	for _, top := range []string{
		filepath.Dir(u.opt()), filepath.Dir(u.etc()), filepath.Dir(u.state()), u.unitFile(), u.wanted(),
		u.paths.join("usr/local/bin/etcdctl"), u.paths.join("usr/local/bin/etcdutl"),
	} {
		err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path == top {
				return nil
			}
			if err != nil || path == u.disk() { // a unit without its measurement is not known to be ill: the disk is not measured again
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			stat := info.Sys().(*syscall.Stat_t)
			l := lying{Mode: info.Mode() & (fs.ModeType | fs.ModePerm), UID: stat.Uid, GID: stat.Gid}
			switch {
			case path == u.data():
				out[path] = l
				return fs.SkipDir
			case info.Mode()&fs.ModeSymlink != 0:
				l.Mode = fs.ModeSymlink
				l.Target, _ = os.Readlink(path)
			case info.Mode().IsRegular():
				l.Content = u.content(path)
			}
			out[path] = l
			return nil
		})
		require.NoError(u.t, err)
	}
	return out
}

// content returns what a file says; for the binary, which is large, its length, beginning and end.
func (u *unit) content(path string) string {
	f, err := os.Open(path)
	require.NoError(u.t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(u.t, err)
	const large, part = 1 << 20, 64 << 10
	if info.Size() < large {
		data, err := io.ReadAll(f)
		require.NoError(u.t, err)
		return string(data)
	}
	ends := make([]byte, 2*part)
	_, err = f.ReadAt(ends[:part], 0)
	require.NoError(u.t, err)
	_, err = f.ReadAt(ends[part:], info.Size()-part)
	require.NoError(u.t, err)
	return fmt.Sprintf("%d bytes: %x", info.Size(), sha256.Sum256(ends))
}

// reissued matches files that are made again with other content.
var reissued = regexp.MustCompile(`/tls/((peer|server|admin)\.(crt|key)|(client|peer)\.crl|issued)$`)

// same returns in what two listings differ; "" if they do not.
func same(was, is map[string]lying) string {
	for path, l := range was {
		now, there := is[path]
		if !there && l.Mode.IsDir() && strings.HasSuffix(path, "/data") {
			continue // a proxy's, which goes with its place
		}
		if reissued.MatchString(path) && now.Content != "" {
			now.Content = l.Content
		}
		switch {
		case !there:
			return path + " is missing"
		case now.Content != l.Content:
			return path + " says something else"
		case now != l:
			now.Content, l.Content = "", ""
			return fmt.Sprintf("%s is %+v, not %+v", path, now, l)
		}
	}
	for path := range is {
		if _, there := was[path]; !there && !strings.Contains(path, "-astray") {
			return path + " is new"
		}
	}
	return ""
}

// restore puts back what was there before.
func (u *unit) restore(was map[string]lying) {
	u.t.Helper()
	for path := range u.ours() {
		if _, there := was[path]; !there {
			require.NoError(u.t, os.RemoveAll(path))
		}
	}
	for _, path := range slices.SortedFunc(maps.Keys(was), cmp.Compare[string]) {
		l := was[path]
		info, err := os.Lstat(path)
		if err == nil && info.Mode().Type() != l.Mode.Type() {
			require.NoError(u.t, os.RemoveAll(path))
			err = fs.ErrNotExist
		}
		switch {
		case l.Mode.IsDir() && err != nil:
			require.NoError(u.t, os.Mkdir(path, 0o700))
		case l.Mode&fs.ModeSymlink != 0:
			_ = os.Remove(path)
			require.NoError(u.t, os.Symlink(l.Target, path))
			continue
		case l.Mode.IsRegular():
			switch same := err == nil && u.content(path) == l.Content; {
			case same:
			case filepath.Base(path) == binaryName:
				require.NoError(u.t, u.copyBinary(path))
			default:
				_ = os.Remove(path)
				require.NoError(u.t, os.WriteFile(path, []byte(l.Content), 0o600))
			}
		}
		require.NoError(u.t, os.Chown(path, int(l.UID), int(l.GID)))
		require.NoError(u.t, os.Chmod(path, l.Mode.Perm()))
	}
}

// hook runs one hook of u's, and returns what was decided in the end.
func (u *unit) hook(m operator.Model) (operator.Plan, error) {
	plan, _, err := operator.Reconcile(u.t.Context(), operator.Decide, operator.Event{Kind: hooks.UpdateStatus}, m, u.Host)
	return plan, err
}

// living returns u's model as the leader of an application of one unit.
func (u *unit) living() operator.Model {
	m := u.model()
	m.Leader = operator.Know(true)
	address := operator.Know(operator.Address{Ingress: u.ip, Bound: u.ip, All: []string{u.ip}})
	m.PeerAddress, m.ClientAddress = address, address
	m.Memory = operator.Know(operator.Memory{Bags: map[string]string{}})
	m.Relations = map[string]operator.Known[[]databag.Relation]{}
	for _, at := range operator.Endpoints() {
		m.Relations[at.Name] = operator.Know[[]databag.Relation](nil)
	}
	return m
}

// settledMember returns a unit with a member that has nothing left to do.
func settledMember(t *testing.T) (*unit, operator.Model) {
	t.Helper()
	u := damaged(t)
	m := u.living()
	_, err := u.hook(m)
	require.NoError(t, err)
	w := u.eventually("a founded cluster", func(w operator.World) bool { return w.Reach == operator.Healthy })
	m.Cluster.Value.AppBag.ClusterID = w.ClusterID
	m.Cluster.Value.AppBag.Authority = u.fleet.authority.Fingerprint()
	_, err = u.hook(m) // what the first hook leaves to the next
	require.NoError(t, err)
	return u, m
}

// settledProxy returns a unit with a proxy that has nothing left to do.
func settledProxy(t *testing.T) (*unit, operator.Model) {
	t.Helper()
	u := damaged(t)
	m := u.living()
	m.Config.Role = operator.RoleProxy
	given, err := u.fleet.authority.Credentials(m.UUID, "proxy:1", 1, u.look().Period)
	require.NoError(t, err)
	bag, err := etcdproxy.Encode(etcdproxy.Data{
		Members:     []etcdproxy.Member{{Name: "etcd0", PeerURL: "https://10.0.0.1:2380"}},
		Credentials: given, Version: "3.7.3", ClientURLs: []string{"https://10.0.0.1:2379"},
	})
	require.NoError(t, err)
	m.Relations["upstream"] = operator.Know([]databag.Relation{{
		ID: "upstream:1", Endpoint: "upstream", App: "other", Units: map[string]databag.Bag{"other/0": bag},
	}})
	_, err = u.hook(m)
	require.NoError(t, err)
	return u, m
}

func damaged(t *testing.T) *unit {
	t.Helper()
	u := newFleet(t).add(t)
	if os.Geteuid() == 0 {
		u.user = somebody
	}
	return u
}

// outcome is how a hook dealt with a damage.
type outcome int

const (
	neither outcome = iota
	healed
	said
	hung
)

// suffer does a damage and runs one hook.
func (u *unit) suffer(m operator.Model, was map[string]lying, path string, d damage) (outcome, string) {
	u.t.Helper()
	require.NoError(u.t, d.do(path))
	type end struct {
		plan operator.Plan
		err  error
	}
	ended := make(chan end, 1)
	go func() {
		plan, err := u.hook(m)
		ended <- end{plan, err}
	}()
	var e end
	for begun, late := time.Now(), false; ; {
		select {
		case e = <-ended:
			if late {
				return hung, "the hook waits for it"
			}
		case <-time.After(time.Second):
			if time.Since(begun) > time.Minute {
				late = true
				if f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
					_ = f.Close()
				}
			}
			continue
		}
		break
	}
	if e.err != nil {
		return neither, e.err.Error()
	}
	difference := same(was, u.ours())
	if difference == "" {
		return healed, ""
	}
	for _, r := range e.plan.Reasons {
		if strings.Contains(r.String(), path) && r.Remedy() != "" {
			return said, r.String()
		}
	}
	return neither, difference + "; " + e.plan.Status.Message
}

// dataLost reports whether a damage removes the data, or its directory. Rule 4 deals with that, and
// the charm does not mend it. A proxy has no data.
func (u *unit) dataLost(role, path string, d damage) bool {
	return role == "proxy" && path == u.data() || strings.HasPrefix(u.data()+"/", path+"/") && (d.name == "removed" || d.name == "a file")
}

// TestDamages does every damage to everything that the charm made, and runs one hook. Either that
// hook repairs it without a restart, or the reasons name the path and what to do. Without root,
// damages to owners are left out. UPDATE_GOLDEN=1 writes the figures into proof.md.
func TestDamages(t *testing.T) {
	t.Parallel()
	for role, settled := range map[string]func(*testing.T) (*unit, operator.Model){"member": settledMember, "proxy": settledProxy} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			u, m := settled(t)
			was := u.ours()
			before, err := u.supervisor.state(t.Context())
			require.NoError(t, err)
			counts, owners := map[outcome]int{}, 0
			for _, path := range slices.SortedFunc(maps.Keys(was), cmp.Compare[string]) {
				for _, d := range damages[was[path].Mode.Type()] {
					if u.dataLost(role, path, d) {
						continue
					}
					if d.root {
						owners++
					}
					if d.root && os.Geteuid() != 0 {
						continue
					}
					what, why := u.suffer(m, was, path, d)
					counts[what]++
					if what == neither || what == hung {
						t.Errorf("%s, %s: %s", path, d, why)
					}
					u.restore(was)
				}
			}
			after, err := u.supervisor.state(t.Context())
			require.NoError(t, err)
			assert.Equal(t, before.process.pid, after.process.pid, "nothing was restarted")
			if os.Geteuid() != 0 {
				t.Logf("without root %d damages to owners are left out", owners)
				return
			}
			holdFigures(t, role, fmt.Sprintf("%d damages, %d healed, %d said", counts[healed]+counts[said], counts[healed], counts[said]))
		})
	}
}

// holdFigures compares the counts with what the documentation says.
func holdFigures(t *testing.T, role, figures string) {
	t.Helper()
	const page = "../../docs/explanation/proof.md"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	line := regexp.MustCompile(role + `: [0-9]+ damages, [0-9]+ healed, [0-9]+ said`)
	require.Len(t, line.FindAll(text, -1), 1, role)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		text = line.ReplaceAll(text, []byte(role+": "+figures))
		require.NoError(t, os.WriteFile(page, text, 0o644))
	}
	assert.Equal(t, role+": "+figures, string(line.Find(text)), page)
}

// An administrator may have moved a directory to another disk. While that disk is not mounted, the
// charm does not make the directory again elsewhere, and the link to it stays.
func TestPlaceOnADiskThatIsNotMounted(t *testing.T) {
	t.Parallel()
	h := New(Options{Root: t.TempDir(), Unit: "etcd/0"})
	disk := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.MkdirAll(filepath.Dir(h.state()), 0o755))
	require.NoError(t, os.Symlink(disk, h.state()))
	require.ErrorContains(t, h.mendItems(t.Context()), h.state()+" leads nowhere")
	target, err := os.Readlink(h.state())
	require.NoError(t, err)
	assert.Equal(t, disk, target)
	assert.NoDirExists(t, disk)

	require.NoError(t, os.Mkdir(disk, 0o700))
	require.NoError(t, h.mendItems(t.Context()))
	assert.DirExists(t, h.tls(""))
	assert.Equal(t, operator.Data{}, h.lookData())
}
