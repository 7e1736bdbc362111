package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/semver"

	"github.com/juju-charms/etcd-charm/internal/regular"

	etcdversion "go.etcd.io/etcd/api/v3/version"
)

// decoderMemory bounds how much memory a snapshot's zstd frame may make the decoder allocate.
const decoderMemory = 64 << 20

// Verify reads a kept snapshot again as a restore would: it unpacks it beside the others, compares
// its hash with its content and with the recorded one, and has etcd check every page and key.
func Verify(
	ctx context.Context, dir string, m Meta, etcdutl string, users ReadUsers,
) (Status, error) {
	raw := filepath.Join(dir, m.Name+".verify"+partial)
	defer func() { _ = os.Remove(raw) }()
	sum, size, err := Unpack(ctx, m.file(dir), raw)
	switch {
	case err != nil:
		return Status{}, fmt.Errorf("snapshot %s: %w", m.Name, err)
	case sum != m.SHA256 || size != m.Size:
		return Status{}, fmt.Errorf("snapshot %s: it is not the one that was recorded", m.Name)
	}
	s, err := DeepCheck(ctx, etcdutl, raw)
	if err == nil {
		err = readable(s.Version)
	}
	if err != nil {
		return Status{}, fmt.Errorf("snapshot %s: %w", m.Name, err)
	}
	s.Users = users.of(raw)
	return s, nil
}

// VerifyFile reads a snapshot that was not made here as Verify does a kept one. It unpacks it to
// raw, at which nothing may be, and removes that again.
func VerifyFile(
	ctx context.Context, path, raw, etcdutl string, unverified bool, users ReadUsers,
) (Status, error) {
	if _, _, err := unpack(ctx, path, raw, unverified); err != nil {
		if errors.Is(err, errUnhashed) {
			err = fmt.Errorf("%w: only unverified=true accepts it", err)
		}
		// An error of the file system, which names the path.
		if strings.Contains(err.Error(), path) {
			return Status{}, err
		}
		return Status{}, fmt.Errorf("%s: %w", path, err)
	}
	defer func() { _ = os.Remove(raw) }()
	s, err := DeepCheck(ctx, etcdutl, raw)
	if err == nil {
		err = readable(s.Version)
	}
	if err != nil {
		return Status{}, fmt.Errorf("%s: %w", path, err)
	}
	s.Users = users.of(raw)
	return s, nil
}

// errNewer means that a later etcd wrote it.
var errNewer = errors.New("a later etcd wrote it")

// readable refuses a database in the storage format of a later minor version than that of this
// etcd. Before 3.6 etcd did not record a version.
func readable(storage string) error {
	if storage != "" &&
		semver.Compare(semver.MajorMinor("v"+storage), semver.MajorMinor("v"+etcdversion.Version)) > 0 {
		return fmt.Errorf("%w: format %s, this is etcd %s", errNewer, storage, etcdversion.Version)
	}
	return nil
}

// Unpack writes the database of a snapshot to a file that must not exist yet, ready for etcd's
// restore, and returns its hash and its size. It also reads snapshots that were not made here:
// plain, as etcdctl saves them, or packed by zstd. A file that is cut off, changed or no snapshot
// is refused before etcd sees it, and leaves nothing behind.
func Unpack(ctx context.Context, from, to string) (sum string, size int64, err error) {
	return unpack(ctx, from, to, false)
}

// UnpackUnverified is Unpack that also accepts a copy of a database file. Such a copy has no hash
// to compare its content with: only that it is complete is checked. The hash that it returns is
// that of the content.
func UnpackUnverified(ctx context.Context, from, to string) (sum string, size int64, err error) {
	return unpack(ctx, from, to, true)
}

func unpack(
	ctx context.Context, from, to string, unverified bool,
) (sum string, size int64, err error) {
	src, err := regular.Open(from)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = src.Close() }()
	var r io.Reader = src
	if strings.HasSuffix(strings.TrimSuffix(from, partial), ".zst") {
		z, err := zstd.NewReader(src,
			zstd.WithDecoderMaxMemory(decoderMemory), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return "", 0, err
		}
		defer z.Close()
		r = z
	}
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", 0, err
	}
	defer func() {
		err = errors.Join(err, dst.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(to))
		}
	}()
	sum, size, err = copyChecked(dst, &interruptible{ctx, r}, unverified)
	if err != nil {
		return "", 0, err
	}
	return sum, size, dst.Sync()
}
