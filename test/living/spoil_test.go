package living

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// spoil changes the last byte of a text wherever it stands in the database of a unit's member, as a disk gone bad would. A
// running server sees it: it reads its database as mapped memory.
func (b *bench) spoil(ts *testscript.TestScript, _ bool, args []string) {
	unit, text := args[0], []byte(args[1])
	path := filepath.Join(b.ask(ts, "root", unit), "var/lib/etcd-charm", strings.ReplaceAll(unit, "/", "-"), "data/member/snap/db")
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	ts.Check(err)
	defer file.Close()
	data, err := os.ReadFile(path)
	ts.Check(err)
	found := 0
	for at := bytes.Index(data, text); at >= 0; found++ {
		_, err := file.WriteAt([]byte{'?'}, int64(at+len(text)-1))
		ts.Check(err)
		next := bytes.Index(data[at+1:], text)
		if next < 0 {
			at = -1
		} else {
			at += 1 + next
		}
	}
	if found == 0 {
		ts.Fatalf("%q is not in the database of %s", text, unit)
	}
}
