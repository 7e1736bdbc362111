package snapshot

import (
	"errors"
	"fmt"
)

// Budget is what may be kept beside the data. Sizes are in bytes.
type Budget struct {
	Keep  int   // how many good snapshots; at least 1
	Space int64 // what all that is kept may take
	Aside int64 // what is kept beside the snapshots: directories of data that was moved aside
	Free  int64 // on the file system
	// Database is the size of the database, which must stay free: a defragmentation writes it a second time.
	Database int64
}

// leastFree must stay free, whatever the database's size.
const leastFree = 2 << 30

// ErrNoRoom says that a snapshot is not taken because it would not fit.
var ErrNoRoom = errors.New("there is no room for a snapshot")

// Room returns the snapshots to drop before one that takes size bytes is written, oldest first: those beyond the number
// kept, counting the new one, and then as many as it needs. The newest good one is never among them. It returns ErrNoRoom,
// with the figures, if that is not enough; then none is to be dropped.
func (b Budget) Room(have []Meta, size int64) ([]Meta, error) {
	newest := -1
	var used int64
	good := 0
	for i, m := range have {
		used += m.Stored
		if m.Good() {
			newest = i
			good++
		}
	}
	free := b.Free
	fits := func() bool {
		return used+b.Aside+size <= b.Space && free-size >= max(leastFree, b.Database)
	}
	var drop []Meta
	for i, m := range have {
		surplus := m.Good() && good+1 > max(b.Keep, 1)
		if i == newest || !surplus && (fits() || m.Stored == 0) {
			continue
		}
		drop = append(drop, m)
		used, free = used-m.Stored, free+m.Stored
		if m.Good() {
			good--
		}
	}
	if !fits() {
		return nil, fmt.Errorf("%w: it needs up to %d bytes; %d of %d are used by what is kept, %d are free, and %d must stay so",
			ErrNoRoom, size, used+b.Aside, b.Space, free, max(leastFree, b.Database))
	}
	return drop, nil
}
