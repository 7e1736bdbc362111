// Package rooms_test checks what each package may import, and that the core stays pure. It asks `go
// list` and reads the sources, so a new import that points outward fails it.
package rooms_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/juju-charms/etcd-charm"

// pkg is what `go list -json` says of a package; its imports are those of the product, not of its
// tests.
type pkg struct {
	ImportPath, Dir string
	GoFiles         []string
	Imports         []string
}

func (p pkg) room() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func list(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,GoFiles,Imports", module+"/...").Output()
	require.NoError(t, err)
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			require.NotEmpty(t, pkgs)
			return pkgs
		}
		require.NoError(t, err)
		pkgs = append(pkgs, p)
	}
}

// rule is a room, or several rooms, and what it may import.
type rule struct {
	room string
	may  []string
}

// inward is the import table of this repository: a room and the rooms that it may use. The first
// row that fits counts. A * stands for one part of a path, and … for everything below. A permission
// that no room uses must not be listed.
var inward = []rule{
	{"interfaces/databag", nil},
	{"interfaces/hostname", nil},
	{"interfaces/credentials", []string{"interfaces/databag"}},
	{"interfaces/*", []string{"interfaces/databag", "interfaces/hostname", "interfaces/credentials"}},
	{"internal/pki", []string{"interfaces/hostname", "interfaces/credentials"}},
	{"internal/licence", nil},
	{"internal/webproxy", nil},
	{"internal/regular", nil},
	{"internal/diagnosis", nil},
	{"internal/server", []string{"internal/webproxy"}},
	{"internal/proxy", []string{"internal/proxy/wire", "internal/webproxy", "internal/regular", "interfaces/address"}},
	{"internal/proxy/wire", nil},
	{"internal/stamp", nil},
	{"internal/pack", nil},
	{"internal/operator", []string{"internal/pki", "interfaces/*"}},
	{"internal/snapshot", []string{"internal/regular"}},
	{"internal/datadir", []string{"internal/regular", "internal/snapshot"}},
	{"internal/secondlife", []string{"internal/operator", "internal/datadir", "internal/snapshot", "internal/regular"}},
	{"internal/juju", []string{"internal/operator", "internal/pki", "interfaces/*"}},
	{"internal/longwork", []string{"internal/operator", "internal/regular"}},
	{"internal/host", []string{
		"internal/operator", "internal/pki", "internal/webproxy", "internal/regular", "internal/longwork", "internal/snapshot",
		"internal/datadir", "internal/secondlife", "internal/diagnosis", "interfaces/etcdcluster",
	}},
	{"internal/charm", []string{"internal/juju", "internal/operator"}},
	{"internal/sim/pid1", nil},
	{"internal/sim", []string{"internal/sim/…"}},
	{"internal/sim/fate", []string{"internal/charm", "internal/operator", "internal/pki", "interfaces/*"}},
	{"internal/sim/model", []string{"internal/sim/hooktool"}},
	{"internal/sim/hooktool", nil},
	{"cmd/etcd-charm", []string{
		"internal/charm", "internal/juju", "internal/host", "internal/operator", "internal/proxy", "internal/server", "internal/webproxy",
		"internal/diagnosis",
	}},
	{"cmd/juju-sim", []string{"internal/sim"}},
	{"cmd/juju-sim/…", []string{"internal/sim/hooktool"}},
	{"cmd/charm-stamp", []string{"internal/stamp"}},
	{"cmd/charm-pack", []string{"internal/pack", "internal/licence"}},
	{"test/bench", []string{
		"internal/sim", "internal/sim/model", "internal/operator", "internal/datadir", "internal/snapshot", "internal/secondlife",
		"internal/proxy", "test/field", "test/load",
	}},
	{"test/…", []string{"internal/pack", "internal/sim", "internal/sim/model", "test/load"}},
}

// guests are modules from outside, by prefix, that only some rooms may use. A longer prefix comes
// before a shorter one.
var guests = []rule{
	{"github.com/juju/charm/v12/hooks", []string{"internal/operator", "internal/juju", "internal/charm", "internal/sim", "internal/sim/…"}},
	{"github.com/juju/charm/v12", []string{"internal/sim", "internal/sim/model", "internal/pack", "test/load"}},
	// A stopped member's knowledge is read from its log, with etcd's own reader.
	{"go.etcd.io/etcd/server/v3/storage", []string{"internal/host", "internal/datadir", "internal/secondlife"}},
	{"go.etcd.io/etcd/server/v3/etcdserver/api/membership", []string{"internal/secondlife"}},
	{"go.etcd.io/etcd/server/v3", []string{"internal/server"}},
	{"go.etcd.io/etcd/etcdctl/v3", []string{"cmd/etcd-charm"}},
	{"go.etcd.io/etcd/etcdutl/v3", []string{"cmd/etcd-charm"}},
	{"go.etcd.io/etcd/api/v3", []string{"internal/host", "internal/snapshot", "internal/datadir", "internal/secondlife", "internal/proxy", "cmd/etcd-charm", "test/bench", "test/robustness"}},
	{"go.etcd.io/etcd/client/v3", []string{"internal/host", "internal/snapshot", "internal/secondlife", "test/load", "test/bench", "test/robustness"}},
	{"go.etcd.io/etcd/", []string{"internal/host", "internal/datadir", "internal/secondlife"}},
	{"github.com/anishathalye/porcupine", []string{"test/robustness"}},
	{"github.com/stretchr/testify", []string{"test/wayup"}}, // otherwise only in tests: two play that story
}

func within(room string, allowed []string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		if dir, ok := strings.CutSuffix(a, "…"); ok {
			return strings.HasPrefix(room, dir)
		}
		ok, err := path.Match(a, room)
		return ok && err == nil
	})
}

// permissions judges imports by a table, and remembers which permissions were used.
type permissions struct {
	table []rule
	used  map[[2]int]bool // row and place in it
}

// permit reports whether a row of the table permits name.
func (p permissions) permit(row int, name string) bool {
	for i, allowed := range p.table[row].may {
		if within(name, []string{allowed}) {
			p.used[[2]int{row, i}] = true
			return true
		}
	}
	return false
}

// unused returns the permissions that no import used, each as "room: permission".
func (p permissions) unused() (out []string) {
	for row, r := range p.table {
		for i, allowed := range r.may {
			if !p.used[[2]int{row, i}] {
				out = append(out, r.room+": "+allowed)
			}
		}
	}
	return out
}

func TestImportsPointInward(t *testing.T) {
	t.Parallel()
	rooms := permissions{inward, map[[2]int]bool{}}
	outside := permissions{guests, map[[2]int]bool{}}
	lived := map[int]bool{}
	for _, p := range list(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		row := slices.IndexFunc(inward, func(r rule) bool { return within(p.room(), []string{r.room}) })
		if !assert.GreaterOrEqual(t, row, 0, "%s is not in the import table", p.room()) {
			continue
		}
		lived[row] = true
		for _, imp := range p.Imports {
			if room, ours := strings.CutPrefix(imp, module+"/"); ours {
				assert.True(t, rooms.permit(row, room), "%s must not import %s", p.room(), room)
				continue
			}
			assert.False(t, strings.Contains(imp, ".") && within(p.room(), []string{"interfaces/*"}),
				"%s is for others to import and must need the standard library only, not %s", p.room(), imp)
			guest := slices.IndexFunc(guests, func(g rule) bool {
				prefix := strings.TrimSuffix(g.room, "/")
				return imp == prefix || strings.HasPrefix(imp, prefix+"/")
			})
			if guest >= 0 {
				assert.True(t, outside.permit(guest, p.room()), "%s must not import %s", p.room(), imp)
			}
		}
	}
	assert.Empty(t, rooms.unused(), "permissions of the import table that nobody uses")
	assert.Empty(t, outside.unused(), "permissions for modules from outside that nobody uses")
	for row, r := range inward {
		assert.True(t, lived[row], "the import table speaks of %s, which does not exist", r.room)
	}
}

// pure are the rooms that read no clock and touch nothing outside their arguments.
var pure = []string{"internal/operator", "internal/pki", "internal/proxy/wire", "interfaces/*"}

// impure are the packages that a pure room does not import. net/url and net/netip only parse, so
// they are not here.
var impure = []string{"os", "os/…", "net/http", "net/http/…", "net/rpc", "net/rpc/…", "syscall", "math/rand", "math/rand/…", "crypto/rand", "io/ioutil", "log", "plugin", "unsafe"}

// clocks are the calls by which a pure room would read the time or wait; durations and times as
// data are welcome.
var clocks = map[string][]string{
	"time":    {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "LoadLocation"},
	"context": {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"},
}

// texts is what a pure room may use of package net: it parses and formats text, and dials nothing.
var texts = []string{"JoinHostPort", "SplitHostPort", "ParseIP"}

func TestCoreIsPure(t *testing.T) {
	t.Parallel()
	found := 0
	for _, p := range list(t) {
		if !within(p.room(), pure) || len(p.GoFiles) == 0 {
			continue
		}
		found++
		for _, imp := range p.Imports {
			assert.False(t, within(imp, impure), "%s is pure and must not import %s", p.room(), imp)
		}
		for _, name := range p.GoFiles {
			for _, use := range impureUses(t, filepath.Join(p.Dir, name)) {
				assert.Fail(t, "is not pure", "%s is pure and must not use %s", filepath.Join(p.room(), name), use)
			}
		}
	}
	assert.GreaterOrEqual(t, found, len(pure), "the pure rooms are gone")
}

// impureUses lists the uses of clocks and of the network in a file, as package.Name, under whatever
// name the file imports the package.
func impureUses(t *testing.T, file string) (uses []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	local := map[string]string{}
	for _, imp := range f.Imports {
		from := strings.Trim(imp.Path.Value, `"`)
		if clocks[from] == nil && from != "net" {
			continue
		}
		name := from
		if imp.Name != nil {
			name = imp.Name.Name
		}
		assert.NotEqual(t, ".", name, "%s imports %s with a dot", file, from)
		local[name] = from
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok {
				from := local[x.Name]
				if slices.Contains(clocks[from], sel.Sel.Name) || from == "net" && !slices.Contains(texts, sel.Sel.Name) {
					uses = append(uses, from+"."+sel.Sel.Name)
				}
			}
		}
		return true
	})
	return uses
}
