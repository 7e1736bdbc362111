package host

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/diagnosis"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// unpacked returns an archive's files, by name below its directory.
func unpacked(t *testing.T, path string) map[string]string {
	t.Helper()
	packed, err := os.ReadFile(path)
	require.NoError(t, err)
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	out := map[string]string{}
	for r := tar.NewReader(zip); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		_, name, _ := strings.Cut(head.Name, "/")
		out[name] = string(text)
	}
}

// TestDiagnose: the archive of a real member has what helps, and no private key. It also has
// nothing that a user wrote to etcd, not even from slow requests in the journal. And its size is
// bounded.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	u := newFleet(t).add(t)
	u.found()
	u.do(operator.CheckDisk{})
	cl, err := u.access(nil).dial(u.word.ClientURL)
	require.NoError(t, err)
	defer ignoreClose(cl)
	const key, value = "a-users-key-7f3a", "a-users-value-9c1e"
	_, err = cl.Put(t.Context(), key, value)
	require.NoError(t, err)
	service := u.supervisor.run
	u.supervisor.run = func(ctx context.Context, name string, args ...string) ([]byte, error) {
		out, err := service(ctx, name, args...)
		if name == "journalctl" {
			out = append(out, `{"level":"warn","msg":"apply request took too long","request":"key:\"`+key+`\" value:\"`+value+`\""}`+"\n"...)
		}
		return out, err
	}
	u.Remember(t.Context(), diagnosis.Hook{Name: "install", Lines: []diagnosis.Line{{Level: "INFO", Text: "step do=x"}}})

	w := u.look()
	m := u.model()
	r := operator.Examine(m, w)
	step := operator.Diagnose{Report: r.JSON(), Revision: w.Members[0].Revision, Files: []operator.TextFile{{Name: "health.txt", Text: r.Table()}}}
	at := time.Now()
	u.now = func() time.Time { return at }
	var paths []string
	for range keptDiagnoses + 2 {
		at = at.Add(time.Second)
		u.do(step)
		paths = append(paths, u.look().Kept.Diagnosis.Path)
	}
	left, err := filepath.Glob(filepath.Join(u.diagnoses(), "*"))
	require.NoError(t, err)
	assert.Equal(t, paths[2:], left, "the newest are kept, and nothing else")
	info, err := os.Stat(left[0])
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	assert.Less(t, info.Size(), int64(diagnosis.MaxAll))

	files := unpacked(t, left[0])
	for name, want := range map[string]string{
		"summary.html": "<svg", "health.txt": "health ", "hashes.json": `"hash": "`, "certificates.json": `"file": "server.crt"`, "hooks.log": "step do=x",
		"settings/etcd.env": "ETCD_NAME=", "settings/running.txt": "ETCD_NAME=", "settings/" + u.serviceName(): "ExecStart=", "disk.json": `"p99":`,
		"journal/service.log": "apply request took too long", "metrics.txt": "etcd_server_has_leader 1", "machine.txt": "/proc/meminfo",
	} {
		assert.Contains(t, files[name], want, name)
	}
	keys, err := filepath.Glob(u.tls("*.key"))
	require.NoError(t, err)
	require.NotEmpty(t, keys)
	for name, text := range files {
		assert.NotContains(t, text, "PRIVATE KEY", name)
		assert.NotContains(t, text, key, name)
		assert.NotContains(t, text, value, name)
		for _, path := range keys {
			secret, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.NotContains(t, text, strings.Split(string(secret), "\n")[1], name)
		}
	}
	u.do(operator.Uninstall{})
	for _, path := range []string{u.diagnoses(), u.hookLog()} {
		_, err := os.Lstat(path)
		assert.ErrorIs(t, err, os.ErrNotExist)
	}
	u.Remember(t.Context(), diagnosis.Hook{Name: "remove"})
	_, err = os.Lstat(u.hookLog())
	assert.ErrorIs(t, err, os.ErrNotExist, "a unit that is gone leaves nothing behind")
}

// TestDiagnoseOfNothing: a unit on which nothing is installed and nothing answers can be diagnosed
// too.
func TestDiagnoseOfNothing(t *testing.T) {
	t.Parallel()
	h := New(Options{Root: t.TempDir(), Unit: "etcd/0", Now: time.Now})
	h.supervisor.run = func(context.Context, string, ...string) ([]byte, error) { return nil, errors.New("no systemd") }
	require.NoError(t, h.Do(t.Context(), operator.Diagnose{Report: "{}", Revision: 7}))
	files := unpacked(t, h.lookDiagnosis().Path)
	assert.Contains(t, files["hashes.json"], "cannot compare data")
	assert.Contains(t, files["journal/service.log"], "no systemd")
}
