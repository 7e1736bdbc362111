package living

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// spoil changes the last byte of a text wherever it occurs in the database of a unit's member, as a
// bad disk would. A running server sees it, because it reads its database as mapped memory.
func (b *bench) spoil(ts *testscript.TestScript, _ bool, args []string) {
	unit, text := args[0], []byte(args[1])
	path := filepath.Join(b.ask(ts, "root", unit), "var/lib/etcd-charm", strings.ReplaceAll(unit, "/", "-"), "data/member/snap/db")
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	ts.Check(err)
	defer file.Close()

	places := offsets(ts, path, text)
	// etcd writes to its database in batches, some time after it has confirmed a write.
	for deadline := time.Now().Add(patience); len(places) == 0; places = offsets(ts, path, text) {
		if time.Now().After(deadline) {
			ts.Fatalf("%q is not in the database of %s", text, unit)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, at := range places {
		_, err := file.WriteAt([]byte{'?'}, at+int64(len(text)-1))
		ts.Check(err)
	}
}

// offsets returns where in a file a text begins.
func offsets(ts *testscript.TestScript, path string, text []byte) []int64 {
	data, err := os.ReadFile(path)
	ts.Check(err)
	var found []int64
	for from := 0; ; {
		at := bytes.Index(data[from:], text)
		if at < 0 {
			return found
		}
		found = append(found, int64(from+at))
		from += at + len(text)
	}
}

// tear cuts off the second half of what was written to the log of a stopped member, as a disk does
// that confirmed what it did not keep: entries are gone that the database has. The cut end itself
// looks as after any power cut.
func (b *bench) tear(ts *testscript.TestScript, _ bool, args []string) {
	unit := args[0]
	wal := filepath.Join(b.ask(ts, "root", unit), "var/lib/etcd-charm", strings.ReplaceAll(unit, "/", "-"), "data/member/wal/*.wal")
	files, err := filepath.Glob(wal)
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("%s has no log", unit)
	}
	last := files[len(files)-1] // names sort by number
	text, err := os.ReadFile(last)
	ts.Check(err)
	written := len(bytes.TrimRight(text, "\x00")) // etcd allocates space beforehand
	ts.Check(os.Truncate(last, int64(written/2)))
}
