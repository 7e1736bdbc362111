package osfiles_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy/osfiles"
)

func TestWriteFileHasContentAndExactMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))

	require.NoError(t, osfiles.Files{}.WriteFile(path, []byte("new"), 0o600))
	assertFile(t, path, "new", 0o600)
	require.NoError(t, osfiles.Files{}.WriteFile(path, []byte("new"), 0o666), "the umask has no say")
	assertFile(t, path, "new", 0o666)
	assertNames(t, filepath.Dir(path), "key.pem")
}

func TestWriteFilesLeavesAllAsTheyWereWhenOneCannotBeWritten(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, dir string) string{
		"a directory in the file's place": func(t *testing.T, dir string) string {
			t.Helper()
			require.NoError(t, os.Mkdir(filepath.Join(dir, "z"), 0o700))
			return filepath.Join(dir, "z")
		},
		"no such parent": func(_ *testing.T, dir string) string { return filepath.Join(dir, "gone", "z") },
		"a file as parent": func(t *testing.T, dir string) string {
			t.Helper()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
			return filepath.Join(dir, "f", "z")
		},
	}
	for name, bad := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			good := filepath.Join(dir, "a")
			require.NoError(t, os.WriteFile(good, []byte("old"), 0o600))
			path := bad(t, dir)
			before := names(t, dir)

			err := osfiles.Files{}.WriteFiles([]etcdproxy.File{
				{Path: good, Data: []byte("secret"), Perm: 0o600},
				{Path: path, Data: []byte("secret"), Perm: 0o600},
			})
			require.ErrorContains(t, err, "cannot write "+path)
			assert.NotContains(t, err.Error(), "secret")
			assertFile(t, good, "old", 0o600)
			assert.Equal(t, before, names(t, dir), "no temporary file stays")
		})
	}
}

func TestWriteFilesDoesNotTouchWhatIsThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, osfiles.Files{}.WriteFile(path, []byte("same"), 0o600))
	before, err := os.Stat(path)
	require.NoError(t, err)

	require.NoError(t, osfiles.Files{}.WriteFile(path, []byte("same"), 0o600))
	after, err := os.Stat(path)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after), "the file is the same inode")

	require.NoError(t, osfiles.Files{}.WriteFile(path, []byte("SAME"), 0o600))
	after, err = os.Stat(path)
	require.NoError(t, err)
	assert.False(t, os.SameFile(before, after), "it is replaced, not rewritten")
}

func TestWriteFileReplacesALinkAndNotItsTarget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	require.NoError(t, os.WriteFile(target, []byte("new"), 0o600))
	require.NoError(t, os.Symlink(target, link))

	require.NoError(t, osfiles.Files{}.WriteFile(link, []byte("new"), 0o600))
	info, err := os.Lstat(link)
	require.NoError(t, err)
	assert.True(t, info.Mode().IsRegular())
	assertFile(t, target, "new", 0o600)
}

func TestSaveThroughTheInterface(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "etc", "ssl", "etcd")
	requires := etcdproxy.Requires{Relation: "upstream:3"}
	require.Error(t, requires.SaveClientCredentialsDir(osfiles.Files{}, dir))
	assert.NoDirExists(t, dir, "without credentials not even the directory is made")

	requires.Data.Credentials = etcdproxy.Credentials{Cert: "cert\n", Key: "key\n", CA: "ca\n"}
	require.NoError(t, requires.SaveClientCredentialsDir(osfiles.Files{}, dir))
	assertFile(t, filepath.Join(dir, "client-key.pem"), "key\n", 0o600)
	assertFile(t, filepath.Join(dir, "client-cert.pem"), "cert\n", 0o600)
	assertFile(t, filepath.Join(dir, "client-ca.pem"), "ca\n", 0o600)
	assertNames(t, dir, "client-ca.pem", "client-cert.pem", "client-key.pem")
}

// A reader that looks all the while never sees anything but a whole content.
func TestAReaderNeverSeesHalfAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	long, short := make([]byte, 1<<16), []byte("short")
	require.NoError(t, osfiles.Files{}.WriteFile(path, short, 0o600))
	done := make(chan error, 1)
	go func() {
		for i := range 20 {
			data := short
			if i%2 == 0 {
				data = long
			}
			if err := (osfiles.Files{}).WriteFile(path, data, 0o600); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	deadline := time.After(30 * time.Second)
	for {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, []int{len(long), len(short)}, len(content))
		select {
		case err := <-done:
			require.NoError(t, err)
			return
		case <-deadline:
			require.Fail(t, "the writer did not end")
		default:
		}
	}
}

func assertFile(t *testing.T, path, want string, perm fs.FileMode) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, want, string(content))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, perm, info.Mode().Perm())
}

func assertNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	assert.Equal(t, want, names(t, dir))
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}
