package datadir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"sort"
)

// tree is one state of a bbolt file (bbolt internal/common: Page, Meta, InBucket). It is read page
// by page. bbolt itself maps the file: a missing page then ends the process, and a page that leads
// to itself keeps it busy without end.
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
	// Bytes of a key or a value that is read. Those of a page may be many more: bbolt keeps at least
	// two values on each, and an option lets a value be as long as an operator likes.
	mostRead   = 64 << 20
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
		if binary.LittleEndian.Uint32(m[16:]) != 0xED0CDAED || h.Sum64() != u64(72) ||
			out.f != nil && u64(64) < out.tx {
			continue
		}
		out = tree{f, int64(binary.LittleEndian.Uint32(m[24:])), u64(56), u64(32), u64(64)}
	}
	if out.f == nil || out.page < 512 || out.page > 64<<10 { // no kernel has larger ones
		return tree{}, errDamaged
	}
	return out, nil
}

// node is a page, with its overflow pages, or a bucket that lies inline in a value. Overflow pages
// are read only where something of them is asked for.
type node struct {
	head []byte      // its beginning: the first page, or all of an inline bucket
	size uint64      // bytes, with those of the overflow pages
	f    io.ReaderAt // what head does not have
	at   int64       // where it begins in f
}

func (t tree) read(id uint64) (node, error) {
	if id >= t.high {
		return node{}, errDamaged
	}
	//nolint:gosec // it is below high
	n := node{head: make([]byte, t.page), f: t.f, at: int64(id) * t.page}
	if _, err := t.f.ReadAt(n.head, n.at); err != nil {
		return node{}, err
	}
	more := uint64(binary.LittleEndian.Uint32(n.head[12:]))
	if id+more >= t.high || binary.LittleEndian.Uint64(n.head) != id {
		return node{}, errDamaged
	}
	n.size = (more + 1) * uint64(t.page) //nolint:gosec // it is positive
	return n, nil
}

func (n node) leaf() bool { return binary.LittleEndian.Uint16(n.head[8:])&leafPage != 0 }

func (n node) count() int { return int(binary.LittleEndian.Uint16(n.head[10:])) }

// span is a part of a node.
type span struct{ from, size uint64 }

func (n node) cut(s span) ([]byte, error) {
	end := s.from + s.size
	switch {
	case end > n.size || s.size > mostRead:
		return nil, errDamaged
	case end <= uint64(len(n.head)):
		return n.head[s.from:end], nil
	}
	out := make([]byte, s.size)
	_, err := n.f.ReadAt(out, n.at+int64(s.from)) //nolint:gosec // it is below size
	return out, err
}

// element is the i-th element of a node: its key, and either the number of a page or where its
// value is, which may be a bucket.
func (n node) element(i int) (key []byte, value span, child uint64, bucket bool, err error) {
	if i < 0 || i >= n.count() {
		return nil, span{}, 0, false, errDamaged
	}
	at := uint64(headerSize + i*elementSize) //nolint:gosec // it is positive
	e, err := n.cut(span{at, elementSize})
	if err != nil {
		return nil, span{}, 0, false, err
	}
	u32 := func(o int) uint64 { return uint64(binary.LittleEndian.Uint32(e[o:])) }
	if !n.leaf() {
		key, err = n.cut(span{at + u32(0), u32(4)})
		return key, span{}, binary.LittleEndian.Uint64(e[8:]), false, err
	}
	name := span{at + u32(4), u32(8)}
	key, err = n.cut(name)
	return key, span{name.from + name.size, u32(12)}, 0, u32(0)&bucketFlag != 0, err
}

// search goes from a node down to a leaf; choose picks an element in each node.
func (t tree) search(n node, choose func(node) int) (node, error) {
	for range mostLevels {
		if n.leaf() || n.count() == 0 {
			return n, nil
		}
		_, _, child, _, err := n.element(choose(n))
		if err != nil {
			return node{}, err
		}
		if n, err = t.read(child); err != nil {
			return node{}, err
		}
	}
	return node{}, errDamaged
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
	key, where, _, bucket, err := leaf.element(i)
	if err != nil || !bytes.Equal(key, name) {
		return nil, false, err
	}
	value, err = leaf.cut(where)
	return value, bucket, err
}

// bucket is the first node of a bucket. A small bucket lies inline in its value.
func (t tree) bucket(name []byte) (node, error) {
	root, err := t.read(t.root)
	if err != nil {
		return node{}, err
	}
	value, is, err := t.find(root, name)
	switch {
	case err != nil:
		return node{}, err
	case !is || len(value) < 16:
		return node{}, errors.New("it is not an etcd database")
	}
	if id := binary.LittleEndian.Uint64(value); id != 0 {
		return t.read(id)
	}
	if len(value) < 16+headerSize {
		return node{}, errDamaged
	}
	inline := value[16:]
	return node{head: inline, size: uint64(len(inline))}, nil
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
