package datadir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"sort"
)

// tree is one state of a bbolt file (bbolt internal/common: Page, Meta, InBucket). It is read page by page: bbolt would map the
// file, and a page that is not there ends the process, or one that leads to itself keeps it busy without end.
type tree struct {
	f    io.ReaderAt
	page int64  // bytes of a page
	high uint64 // number of pages
	root uint64
	tx   uint64
}

var errDamaged = errors.New("it is damaged")

// What a page holds.
const (
	branchPage, leafPage = 0x01, 0x02
	headerSize           = 16
	elementSize          = 16
	bucketFlag           = 0x01
	// Bytes; a value has at most 1.5 MiB, unless an option allows more.
	mostPage   = 64 << 20
	mostLevels = 32
)

// newest is the newest state that was written completely.
func newest(f io.ReaderAt) (tree, error) {
	var out tree
	for _, at := range []int64{0, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10} {
		var m [80]byte
		if _, err := f.ReadAt(m[:], at); err != nil {
			break // there are no more
		}
		u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(m[at:]) }
		h := fnv.New64a()
		_, _ = h.Write(m[16:72])
		if binary.LittleEndian.Uint32(m[16:]) != 0xED0CDAED || h.Sum64() != u64(72) || out.f != nil && u64(64) < out.tx {
			continue
		}
		out = tree{f, int64(binary.LittleEndian.Uint32(m[24:])), u64(56), u64(32), u64(64)}
	}
	if out.f == nil || out.page < 512 {
		return tree{}, errDamaged
	}
	return out, nil
}

// node is a page, with its overflow pages.
type node []byte

func (t tree) read(id uint64) (node, error) {
	var header [headerSize]byte
	if id >= t.high {
		return nil, errDamaged
	}
	if _, err := t.f.ReadAt(header[:], int64(id)*t.page); err != nil { //nolint:gosec // it is below high
		return nil, err
	}
	more := uint64(binary.LittleEndian.Uint32(header[12:]))
	size := (int64(more) + 1) * t.page //nolint:gosec // it is 32 bits long
	if id+more >= t.high || size > mostPage || binary.LittleEndian.Uint64(header[:]) != id {
		return nil, errDamaged
	}
	n := make(node, size)
	_, err := t.f.ReadAt(n, int64(id)*t.page) //nolint:gosec // it is below high
	return n, err
}

func (n node) leaf() bool { return binary.LittleEndian.Uint16(n[8:])&leafPage != 0 }

func (n node) count() int { return int(binary.LittleEndian.Uint16(n[10:])) }

// element is the i-th element of a node: its key, and either the number of a page or a value, which
// may be a bucket.
func (n node) element(i int) (key, value []byte, child uint64, bucket bool, err error) {
	at := headerSize + i*elementSize
	if i < 0 || i >= n.count() || at+elementSize > len(n) {
		return nil, nil, 0, false, errDamaged
	}
	u32 := func(o int) uint64 { return uint64(binary.LittleEndian.Uint32(n[at+o:])) }
	cut := func(from, size uint64) []byte {
		if from+size > uint64(len(n)) {
			err = errDamaged
			return nil
		}
		return n[from : from+size]
	}
	if !n.leaf() {
		key = cut(uint64(at)+u32(0), u32(4)) //nolint:gosec // at is small
		return key, nil, binary.LittleEndian.Uint64(n[at+8:]), false, err
	}
	from := uint64(at) + u32(4) //nolint:gosec // at is small
	key, value = cut(from, u32(8)), cut(from+u32(8), u32(12))
	return key, value, 0, u32(0)&bucketFlag != 0, err
}

// search goes from a node down to a leaf; choose picks an element in each node.
func (t tree) search(n node, choose func(node) int) (node, error) {
	for range mostLevels {
		if n.leaf() || n.count() == 0 {
			return n, nil
		}
		_, _, child, _, err := n.element(choose(n))
		if err != nil {
			return nil, err
		}
		if n, err = t.read(child); err != nil {
			return nil, err
		}
	}
	return nil, errDamaged
}

// find is the value of a key below a node; nil means that there is none.
func (t tree) find(n node, name []byte) (value []byte, bucket bool, err error) {
	above := func(n node) int { // the first element whose key comes after name
		return sort.Search(n.count(), func(i int) bool {
			key, _, _, _, err := n.element(i)
			return err != nil || bytes.Compare(key, name) > 0
		})
	}
	leaf, err := t.search(n, func(n node) int { return max(0, above(n)-1) })
	if err != nil {
		return nil, false, err
	}
	i := above(leaf) - 1
	if i < 0 {
		return nil, false, nil
	}
	key, value, _, bucket, err := leaf.element(i)
	if err != nil || !bytes.Equal(key, name) {
		return nil, false, err
	}
	return value, bucket, nil
}

// bucket is the first node of a bucket. A small bucket lies inline in its value.
func (t tree) bucket(name []byte) (node, error) {
	root, err := t.read(t.root)
	if err != nil {
		return nil, err
	}
	value, is, err := t.find(root, name)
	switch {
	case err != nil:
		return nil, err
	case !is || len(value) < 16:
		return nil, errors.New("it is not an etcd database")
	}
	if id := binary.LittleEndian.Uint64(value); id != 0 {
		return t.read(id)
	}
	if len(value) < 16+headerSize {
		return nil, errDamaged
	}
	return value[16:], nil
}

func (t tree) get(bucket node, key []byte) ([]byte, error) {
	value, is, err := t.find(bucket, key)
	if is {
		return nil, errDamaged
	}
	return value, err
}

// last is the last key of a bucket; nil means that it is empty.
func (t tree) last(bucket node) ([]byte, error) {
	leaf, err := t.search(bucket, func(n node) int { return n.count() - 1 })
	if err != nil || leaf.count() == 0 {
		return nil, err
	}
	key, _, _, _, err := leaf.element(leaf.count() - 1)
	return key, err
}
