package secondlife

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// bad is a unit, and a small snapshot from which bad ones are made.
type bad struct {
	Unit

	good []byte
	file string
}

func newBad(t *testing.T) bad {
	t.Helper()
	b := bad{Unit: newUnit(t)}
	c := member(t)
	put(t, c, 20)
	path := plain(t, c)
	var err error
	b.good, err = os.ReadFile(path)
	require.NoError(t, err)
	b.file = filepath.Join(t.TempDir(), "bad.db")
	return b
}

// refuses fails unless the file is refused and nothing is left behind.
func (b bad) refuses(t *testing.T, unverified bool, words string, about ...any) {
	t.Helper()
	r := request("op", b.file)
	r.Unverified = unverified
	_, err := b.PrepareRestore(t.Context(), r, nil)
	require.ErrorContains(t, err, "cannot restore: ", about...)
	require.ErrorContains(t, err, words, about...)
	nothing(t, b.Unit)
}

// TestRefusedTruncated: a snapshot that is cut off anywhere is refused, and kills no process.
func TestRefusedTruncated(t *testing.T) {
	t.Parallel()
	b := newBad(t)
	tried := 0
	for size := 0; size < len(b.good); size += 512 {
		require.NoError(t, os.WriteFile(b.file, b.good[:size], 0o600))
		b.refuses(t, false, "", size)
		// What remains ends with bytes that might be a hash.
		if size+32 < len(b.good) {
			require.NoError(t, os.WriteFile(b.file, b.good[:size+32], 0o600))
			b.refuses(t, false, "", size+32)
			b.refuses(t, true, "", size+32)
		}
		tried++
	}
	require.Greater(t, tried, 30)
}

// TestRefusedFlipped: a changed byte is found, wherever it is.
func TestRefusedFlipped(t *testing.T) {
	t.Parallel()
	b := newBad(t)
	for i := range 24 {
		at := i * (len(b.good) - 1) / 23
		data := append([]byte{}, b.good...)
		data[at] ^= 0x10
		require.NoError(t, os.WriteFile(b.file, data, 0o600))
		b.refuses(t, false, "", at)
	}
}

// TestRefused: a file that is not a snapshot is refused, with the reason.
func TestRefused(t *testing.T) {
	t.Parallel()
	b := newBad(t)
	raw := b.good[:len(b.good)-32]
	zeroed := func(at, n int) []byte {
		data := append([]byte{}, b.good...)
		clear(data[at : at+n])
		return data
	}
	packed := func(data []byte) []byte {
		z, err := zstd.NewWriter(nil)
		require.NoError(t, err)
		return z.EncodeAll(data, nil)
	}
	plainFile, packedFile := b.file, b.file+".zst"
	for name, tc := range map[string]struct {
		file       string
		data       []byte
		unverified bool
		words      string
	}{
		"empty":                 {plainFile, nil, false, "it is cut off"},
		"a few bytes":           {plainFile, []byte("hello"), false, "it is cut off"},
		"another magic":         {plainFile, zeroed(0, 8192), false, "it is not an etcd database"},
		"no hash":               {plainFile, raw, false, "only unverified=true restores it"},
		"no hash, packed":       {packedFile, packed(raw), false, "only unverified=true restores it"},
		"cut off, packed":       {packedFile, packed(b.good)[:200], false, "unexpected EOF"},
		"not packed":            {packedFile, b.good, false, "magic number mismatch"},
		"another hash":          {plainFile, zeroed(len(b.good)-32, 32), false, "its hash does not match its content"},
		"another hash, raw too": {plainFile, zeroed(len(b.good)-32, 32), true, "its hash does not match its content"},
		"pages of nothing, raw": {plainFile, append(append([]byte{}, raw[:8192]...), make([]byte, len(raw)-8192)...), true, "it is damaged"},
	} {
		b.file = tc.file
		require.NoError(t, os.WriteFile(b.file, tc.data, 0o600), name)
		b.refuses(t, tc.unverified, tc.words, name)
	}
	for name, tc := range map[string]struct {
		lay   func(string) error
		words string
	}{
		"fifo":          {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is not a regular file"},
		"directory":     {func(path string) error { return os.Mkdir(path, 0o700) }, "is not a regular file"},
		"device":        {func(path string) error { return os.Symlink("/dev/zero", path) }, "is not a regular file"},
		"dangling link": {func(path string) error { return os.Symlink("/no/such/file", path) }, "no such file"},
		"missing":       {func(string) error { return nil }, "no such file"},
	} {
		b.file = filepath.Join(t.TempDir(), "odd.db")
		require.NoError(t, tc.lay(b.file), name)
		b.refuses(t, false, tc.words, name)
	}
	// A link to a file is accepted like the file.
	b.file = filepath.Join(t.TempDir(), "link.db")
	require.NoError(t, os.WriteFile(plainFile, b.good, 0o600))
	require.NoError(t, os.Symlink(plainFile, b.file))
	_, err := b.PrepareRestore(t.Context(), request("op", b.file), nil)
	require.NoError(t, err)
}

// TestUnverified: a copy of a database file is restored if the operator says that it may be
// unverified, also if it is packed.
func TestUnverified(t *testing.T) {
	t.Parallel()
	b := newBad(t)
	raw := b.good[:len(b.good)-32]
	require.NoError(t, os.WriteFile(b.file, raw, 0o600))
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	packed := b.file + ".zst"
	require.NoError(t, os.WriteFile(packed, z.EncodeAll(raw, nil), 0o600))
	for i, file := range []string{b.file, packed} {
		r := request(fmt.Sprint("op", i), file)
		r.Unverified = true
		words, err := b.PrepareRestore(t.Context(), r, nil)
		require.NoError(t, err)
		assert.Contains(t, words, "20 keys")
	}
}

// rewritten is the database after a change of its meta bucket.
func (b bad) rewritten(t *testing.T, change func(*bolt.Bucket) error) {
	t.Helper()
	require.NoError(t, os.WriteFile(b.file, b.good[:len(b.good)-32], 0o600))
	db, err := bolt.Open(b.file, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bolt.Tx) error { return change(tx.Bucket(schema.Meta.Name())) }))
	require.NoError(t, db.Close())
}

// TestOtherVersions: a database of a newer minor version is refused; one from before 3.6, which
// does not say its version, is restored.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	b := newBad(t)
	b.rewritten(t, func(meta *bolt.Bucket) error { return meta.Put(schema.MetaStorageVersionName, []byte("3.8.0")) })
	b.refuses(t, true, "it is of etcd 3.8, but this charm has 3.7")

	b.rewritten(t, func(meta *bolt.Bucket) error {
		for _, key := range [][]byte{schema.MetaStorageVersionName, schema.MetaConfStateName, schema.MetaTermKeyName} {
			if err := meta.Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
	r := request("op", b.file)
	r.Unverified = true
	_, err := b.PrepareRestore(t.Context(), r, nil)
	require.NoError(t, err)
	served(t, b.Unit, "op", func(ctx context.Context, s *server) {
		got, err := s.Get(ctx, "key0001")
		require.NoError(t, err)
		assert.EqualValues(t, 1, got.Count)
	})
}

// TestNoRoom: a restore that would not fit is refused before anything is written. If the disk fills
// up meanwhile, or a file cannot be written for another reason, nothing is left behind.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	b := newBad(t)
	require.NoError(t, os.WriteFile(b.file, b.good, 0o600))
	b.Free = func(string) (int64, error) { return 300 * mib, nil }
	b.refuses(t, false, "300 are free, of which 256 must stay free")

	b.Free = nil
	full := b
	full.Etcdutl = filepath.Join(t.TempDir(), "etcdutl")
	require.NoError(t, os.WriteFile(full.Etcdutl,
		[]byte("#!/bin/sh\nulimit -f 8\nexec "+b.Etcdutl+" \"$@\"\n"), 0o700))
	full.refuses(t, false, "")

	for _, parent := range []string{b.file, "/proc/no"} {
		elsewhere := b
		elsewhere.Prepared = filepath.Join(parent, "prepared")
		_, err := elsewhere.PrepareRestore(t.Context(), request("op", b.file), nil)
		require.ErrorContains(t, err, "cannot restore: ", parent)
	}
	for _, id := range []string{"", "../up", ".", "op.new"} {
		_, err := b.PrepareRestore(t.Context(), request(id, b.file), nil)
		require.ErrorContains(t, err, "it is not a name", id)
	}
	nameless := request("op", b.file)
	nameless.Name = ""
	_, err := b.PrepareRestore(t.Context(), nameless, nil)
	require.ErrorContains(t, err, "the request has no name")
}

// TestRestoreEnded: work that is ended leaves nothing behind, and the next one begins from the
// start.
func TestRestoreEnded(t *testing.T) {
	t.Parallel()
	b := newBad(t)
	require.NoError(t, os.WriteFile(b.file, b.good, 0o600))
	for _, at := range []string{"restore", "serve", "check"} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := b.PrepareRestore(ctx, request("op", b.file), func(what string, _, _ int64) {
			if what == at {
				cancel()
			}
		})
		cancel()
		if at == "check" && err == nil { // all was done except waiting for it
			require.NoError(t, os.RemoveAll(filepath.Join(b.Prepared, "op")))
			continue
		}
		require.ErrorContains(t, err, "it was ended", at)
		nothing(t, b.Unit)
	}
	// Work that was killed leaves this behind.
	require.NoError(t, os.MkdirAll(filepath.Join(b.Prepared, "op.new", "data", "member"), 0o700))
	_, err := b.PrepareRestore(t.Context(), request("op", b.file), nil)
	require.NoError(t, err)
}

// TestDrill: the newest snapshot is restored, read back and thrown away, and the time is noted.
func TestDrill(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	now := time.Date(2026, 11, 27, 2, 3, 4, 0, time.UTC)
	u.Now = func() time.Time { return now }
	c := member(t)
	put(t, c, 100)
	kept := keep(t, u, c, now)
	r := request("d1", "")
	var read int64
	words, err := u.Drill(t.Context(), r, func(what string, done, _ int64) {
		if what == "read keys" {
			read = done
		}
	})
	require.NoError(t, err)
	assert.Equal(t, kept.Name+" can be restored: 100 keys, revision 101", words)
	assert.EqualValues(t, 100, read)
	nothing(t, u)
	text, err := os.ReadFile(u.Drilled)
	require.NoError(t, err)
	assert.JSONEq(t, fmt.Sprintf(`{"at":%d,"snapshot":%q,"revision":101,"keys":100}`, now.Unix(), kept.Name), string(text))

	// A drill that fails notes nothing.
	now = now.Add(time.Hour)
	file := filepath.Join(u.Snapshots, kept.Name+".db.zst")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(file, data, 0o600))
	_, err = u.Drill(t.Context(), r, nil)
	require.ErrorContains(t, err, "cannot drill: "+kept.Name)
	nothing(t, u)
	again, err := os.ReadFile(u.Drilled)
	require.NoError(t, err)
	assert.Equal(t, text, again)

	u.Free = func(string) (int64, error) { return 1, nil }
	_, err = u.Drill(t.Context(), r, nil)
	require.ErrorContains(t, err, "cannot drill: it needs")
}
