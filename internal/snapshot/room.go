package snapshot

import (
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
)

// Budget is what may be kept beside the data. Sizes are in bytes.
type Budget struct {
	Space int64 // what all that is kept may take
	Aside int64 // what is kept beside the snapshots: directories of data that was moved aside
	Free  int64 // on the file system
	// Database is the size of the database, which must stay free: a defragmentation writes it a
	// second time.
	Database int64
}

// leastFree must stay free, whatever the database's size.
const leastFree = 2 << 30

// Floor is how many bytes must stay free.
func (b Budget) Floor() int64 { return max(leastFree, b.Database) }

// ErrNoRoom means that a snapshot is not taken because it would not fit.
var ErrNoRoom = errors.New("there is no room for a snapshot")

// Room returns the snapshots to delete before one is taken that will be kept in size bytes and
// needs work bytes besides while it is taken. They are as many of the regular ones as needed,
// oldest first, never the newest good one, and never one that is kept apart. If that is not enough
// it returns ErrNoRoom, with the figures, and none is to be deleted.
func (b Budget) Room(have []Meta, size, work int64) ([]Meta, error) {
	newest := -1
	var used int64
	for i, m := range have {
		used += m.Stored
		if m.Good() {
			newest = i
		}
	}
	free := b.Free
	fits := func() bool { return used+b.Aside+size <= b.Space && free-size-work >= b.Floor() }
	var drop []Meta
	for i, m := range have {
		if fits() {
			break
		}
		if i == newest || m.Why != "" || m.Stored == 0 {
			continue
		}
		drop = append(drop, m)
		used, free = used-m.Stored, free+m.Stored
	}
	if fits() {
		return drop, nil
	}
	if used+b.Aside+size > b.Space {
		return nil, fmt.Errorf("%w: it takes %s, and of the %s allowed %s are used",
			ErrNoRoom, sizeText(size), sizeText(b.Space), sizeText(used+b.Aside))
	}
	return nil, fmt.Errorf("%w: it needs %s, %s are free, and %s must stay free",
		ErrNoRoom, sizeText(size+work), sizeText(free), sizeText(b.Floor()))
}

// sizeText is a size in words.
func sizeText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// Guess is how many bytes a snapshot of a database will be kept in. It assumes the ratio of the
// last good one, and a quarter more. Without one, or if that one has no size, it assumes that it
// cannot be compressed.
func Guess(have []Meta, database int64) int64 {
	last, ok := Newest(have)
	if !ok || last.Size <= 0 {
		return database
	}
	return min(int64(float64(database)*float64(last.Stored)/float64(last.Size)*1.25), database)
}
