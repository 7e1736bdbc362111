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
)

// decoderMemory bounds what a snapshot's frame may have us allocate.
const decoderMemory = 64 << 20

// Verify reads a kept snapshot again as whoever restores it would: it unpacks it beside, holds its hash against its content
// and against what was written down, and has etcd check every page and key.
func Verify(ctx context.Context, dir string, m Meta, etcdutl string) (Status, error) {
	raw := filepath.Join(dir, m.Name+".verify"+partial)
	defer func() { _ = os.Remove(raw) }()
	sum, size, err := Unpack(ctx, m.file(dir), raw)
	switch {
	case err != nil:
		return Status{}, fmt.Errorf("snapshot %s: %w", m.Name, err)
	case sum != m.SHA256 || size != m.Size:
		return Status{}, fmt.Errorf("snapshot %s: it is not the one that was written down", m.Name)
	}
	s, err := DeepCheck(ctx, etcdutl, raw)
	if err != nil {
		return Status{}, fmt.Errorf("snapshot %s: %w", m.Name, err)
	}
	return s, nil
}

// Unpack writes the database of a snapshot to a file that is not there yet, ready for etcd's restore, and returns its hash
// and its size. Snapshots of other hands are read too: plain, as etcdctl saves them, or packed by zstd. What is cut off,
// changed or no snapshot is refused before etcd sees it, and leaves nothing.
func Unpack(ctx context.Context, from, to string) (sum string, size int64, err error) {
	src, err := open(from)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = src.Close() }()
	var r io.Reader = src
	if strings.HasSuffix(strings.TrimSuffix(from, partial), ".zst") {
		z, err := zstd.NewReader(src, zstd.WithDecoderMaxMemory(decoderMemory), zstd.WithDecoderConcurrency(1))
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
	if sum, size, err = copyChecked(dst, &interruptible{ctx, r}); err != nil {
		return "", 0, err
	}
	return sum, size, dst.Sync()
}

// open opens a regular file only: a pipe would never end, or never begin.
func open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	return os.Open(path)
}
