package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/regular"
)

// ErrHash means that a snapshot's hash does not match its content.
var ErrHash = errHash

// ErrUnhashed means that a file has no hash at its end, unlike a snapshot: it is a copy of a
// database file.
var ErrUnhashed = errUnhashed

// Packed reports whether the file is packed by zstd, by its name.
func Packed(path string) bool { return strings.HasSuffix(path, ".zst") }

// Whole returns an error if a plain database does not have all the pages that its header names, and
// so must not be mapped. A hash at its end does not count as a page.
func Whole(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, min(headSize, info.Size()))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return guard(head, info.Size()-trailer(info.Size()))
}

// trailer is the length of the hash at the end of a plain file of that many bytes.
func trailer(size int64) int64 {
	if size%512 == sha256.Size {
		return sha256.Size
	}
	return 0
}

// Look looks at a file that may be a snapshot, plain or packed, and returns the size of its
// database. A packed one is read whole. Look refuses a file that is not regular, no database or cut
// off. If the file has no hash it returns the size and ErrUnhashed.
func Look(ctx context.Context, path string) (size int64, err error) {
	f, err := regular.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if Packed(path) {
		return lookPacked(ctx, f)
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if rest := info.Size() % 512; info.Size() < 512 || rest != 0 && rest != sha256.Size {
		return 0, errTruncated
	}
	if err := Whole(f); err != nil {
		return 0, err
	}
	if trailer(info.Size()) == 0 {
		return info.Size(), errUnhashed
	}
	return info.Size() - sha256.Size, nil
}

// lookPacked reads what zstd packed to its end, and judges it.
func lookPacked(ctx context.Context, from io.Reader) (size int64, err error) {
	z, err := zstd.NewReader(&interruptible{ctx, from},
		zstd.WithDecoderMaxMemory(decoderMemory), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return 0, err
	}
	defer z.Close()
	c := newChecker()
	if _, err := io.Copy(c, z); err != nil {
		return 0, err
	}
	if _, err = c.end(); errors.Is(err, errUnhashed) {
		return c.size, err
	}
	return c.size - sha256.Size, err
}

// Save writes the database of the one member that the client is connected to, with its hash, to a
// file that must not exist yet. If that fails it leaves no file.
func Save(
	ctx context.Context, client *clientv3.Client, to string, say func(done int64),
) (err error) {
	answer, err := client.SnapshotWithVersion(ctx)
	if err != nil {
		return fmt.Errorf("the member gives no snapshot: %w", err)
	}
	defer func() { _ = answer.Snapshot.Close() }()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, _, err = copyChecked(dst, &counted{r: answer.Snapshot, say: say}, false)
	if err = errors.Join(err, dst.Close()); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}
