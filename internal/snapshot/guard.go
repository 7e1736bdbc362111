package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
)

// Why a stream is not a snapshot.
var (
	errTruncated = errors.New("it is cut off")
	errUnhashed  = errors.New("it has no hash at its end: it is a copy of a database file")
	errHash      = errors.New("its hash does not match its content")
	errFormat    = errors.New("it is not an etcd database")
)

// checker reads a snapshot as it is copied: all but the hash at its end goes into sum. It keeps
// only as much of it as the guard needs.
type checker struct {
	sum  hash.Hash
	tail []byte // the last bytes, up to sha256.Size
	head []byte // the first bytes, up to headSize
	size int64
}

// headSize holds bbolt's two meta pages at every page size that a kernel has.
const headSize = 64<<10 + 80

func newChecker() *checker { return &checker{sum: sha256.New()} }

// Write never fails.
func (c *checker) Write(p []byte) (int, error) {
	n := len(p)
	c.size += int64(n)
	if want := headSize - len(c.head); want > 0 {
		c.head = append(c.head, p[:min(want, n)]...)
	}
	c.tail = append(c.tail, p...)
	if over := len(c.tail) - sha256.Size; over > 0 {
		_, _ = c.sum.Write(c.tail[:over])
		c.tail = append(c.tail[:0], c.tail[over:]...)
	}
	return n, nil
}

// end judges what was read. The server's database has a length that is a multiple of 512, and its
// SHA-256 follows it (server/v3 etcdserver/api/v3rpc/maintenance.go, Snapshot).
func (c *checker) end() (sum string, err error) {
	content := c.size - sha256.Size
	switch {
	case c.size%512 == 0 && guard(c.head, c.size) == nil:
		return "", errUnhashed
	case content <= 0 || content%512 != 0:
		return "", errTruncated
	case !bytes.Equal(c.tail, c.sum.Sum(nil)):
		return "", errHash
	}
	if err := guard(c.head, content); err != nil {
		return "", err
	}
	return hex.EncodeToString(c.tail), nil
}

// bbolt's file format (bbolt internal/common: Page, Meta). A page begins with 16 bytes; the meta's
// fields follow.
const (
	magic       = 0xED0CDAED
	fileFormat  = 2
	atMagic     = 16
	atFormat    = 20
	atPageSize  = 24
	atHighWater = 56
	atTxID      = 64
	atChecksum  = 72
	metaEnd     = 80
)

// guard returns an error unless a database of that size has all the pages that its header names:
// bbolt would map the missing ones too. head is its beginning.
func guard(head []byte, size int64) error {
	var newest, pages, page uint64
	found := false
	for _, at := range []int{0, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10} {
		if at+metaEnd > len(head) {
			break
		}
		meta := head[at : at+metaEnd]
		h := fnv.New64a()
		_, _ = h.Write(meta[atMagic:atChecksum])
		if binary.LittleEndian.Uint32(meta[atMagic:]) != magic ||
			binary.LittleEndian.Uint32(meta[atFormat:]) != fileFormat ||
			binary.LittleEndian.Uint64(meta[atChecksum:]) != h.Sum64() {
			continue
		}
		if tx := binary.LittleEndian.Uint64(meta[atTxID:]); !found || tx > newest {
			found, newest = true, tx
			pages, page = binary.LittleEndian.Uint64(meta[atHighWater:]),
				uint64(binary.LittleEndian.Uint32(meta[atPageSize:]))
		}
	}
	switch {
	case !found:
		return errFormat
	case page == 0 || pages > uint64(size)/page:
		return fmt.Errorf("%w: it has %d bytes, but says that it has %d pages of %d",
			errTruncated, size, pages, page)
	}
	return nil
}

// copyChecked copies a snapshot and judges it.
func copyChecked(
	to io.Writer, from io.Reader, unverified bool,
) (sum string, size int64, err error) {
	c := newChecker()
	if _, err := io.Copy(io.MultiWriter(to, c), from); err != nil {
		return "", 0, err
	}
	sum, err = c.end()
	if unverified && errors.Is(err, errUnhashed) {
		_, _ = c.sum.Write(c.tail)
		return hex.EncodeToString(c.sum.Sum(nil)), c.size, nil
	}
	return sum, c.size - sha256.Size, err
}
