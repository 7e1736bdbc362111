package pages_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// names are what a reader copies from what was printed into the next command, by what stands before
// them: the ID of a cluster to confirm, the name of an operation to cancel, the name of an archive.
// They are others in each run.
type names struct{ last map[string]string }

var aName = regexp.MustCompile(`\b((confirm=id-|cancel=restore-|cancel=recover-)[0-9a-f]{6,16}\b|etcd-\d+-\d{8}T\d{6}Z\.tar\.gz)`)

func kindOfName(name string) string { return name[:strings.LastIndex(name, "-")+1] }

// note remembers the names that were printed last.
func (n *names) note(lines []string) {
	if n.last == nil {
		n.last = map[string]string{}
	}
	for _, line := range lines {
		for _, name := range aName.FindAllString(line, -1) {
			n.last[kindOfName(name)] = name
		}
	}
}

// copied is a command with the names of this run.
func (n *names) copied(command string) string {
	return aName.ReplaceAllStringFunc(command, func(name string) string {
		if last, printed := n.last[kindOfName(name)]; printed {
			return last
		}
		return name
	})
}

// TestNames: a command uses the name that was printed last; a name that was never printed stays as
// it is.
func TestNames(t *testing.T) {
	t.Parallel()
	var n names
	const typed = "juju run etcd/leader restore snapshot=latest confirm=id-00000000000000c1"
	assert.Equal(t, typed, n.copied(typed))
	n.note([]string{"restore it: … confirm=id-00000000000000c2", "… operation cancel=restore-abcdef"})
	n.note([]string{"restore it: … confirm=id-00000000000000c3"})
	assert.Equal(t, "juju run etcd/leader restore snapshot=latest confirm=id-00000000000000c3", n.copied(typed))
	n.note([]string{"sudo cat /x/etcd-0-20261127T000001Z.tar.gz > etcd-0-20261127T000001Z.tar.gz"})
	assert.Equal(t, "tar tzf etcd-0-20261127T000001Z.tar.gz", n.copied("tar tzf etcd-0-20260101T000000Z.tar.gz"))
	assert.Equal(t, "operation cancel=restore-abcdef", n.copied("operation cancel=restore-000000"))
	assert.Equal(t, "operation cancel=recover-000000", n.copied("operation cancel=recover-000000"))
}
