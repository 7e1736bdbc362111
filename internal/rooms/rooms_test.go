// Package rooms_test holds the house together: what each package may import, and that the core stays pure. It asks
// `go list` and the sources, so a new import that points outward turns it red.
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

// pkg is what `go list -json` says of a package; its imports are those of the product, not of its tests.
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

// inward is the import table of this repository: a room and the rooms that it may use; the first line that fits
// counts. A * stands for one part of a path, … for all below.
var inward = []struct {
	room string
	may  []string
}{
	{"interfaces/databag", nil},
	{"interfaces/hostname", nil},
	{"interfaces/credentials", []string{"interfaces/databag"}},
	{"interfaces/*", []string{"interfaces/databag", "interfaces/hostname", "interfaces/credentials"}},
	{"interfaces/etcdproxy/osfiles", []string{"interfaces/etcdproxy"}},
	{"internal/pki", []string{"interfaces/hostname"}},
	{"internal/licence", nil},
	{"internal/proxy", nil},
	{"internal/pack", []string{"internal/licence"}},
	{"internal/operator", []string{"interfaces/*"}},
	{"internal/juju", []string{"internal/operator", "interfaces/*"}},
	{"internal/host", []string{"internal/operator", "internal/pki", "interfaces/*", "interfaces/etcdproxy/osfiles"}},
	{"internal/charm", []string{"internal/juju", "internal/operator"}},
	{"internal/sim/pid1", nil},
	{"internal/sim", []string{"internal/sim/…", "internal/juju", "internal/host", "internal/operator", "interfaces/*"}},
	{"internal/sim/fate", []string{"internal/charm", "internal/operator", "interfaces/*"}},
	{"internal/sim/…", []string{"internal/sim", "internal/sim/…", "internal/juju", "internal/host", "internal/operator", "interfaces/*"}},
	{"cmd/etcd-charm", []string{"internal/charm", "internal/juju", "internal/host", "internal/operator", "internal/proxy", "internal/pki", "interfaces/*"}},
	{"cmd/juju-sim", []string{"internal/sim", "internal/sim/…"}},
	{"cmd/juju-sim/…", []string{"internal/sim/hooktool"}},
	{"cmd/charm-pack", []string{"internal/pack", "internal/licence"}},
	{"test/…", []string{"internal/pack", "internal/sim", "internal/sim/…", "test/load"}},
}

// guests are modules from outside that only some rooms may use. A longer prefix counts before a shorter one.
var guests = []struct {
	prefix string
	may    []string
}{
	{"github.com/juju/charm/v12/hooks", []string{"internal/operator", "internal/juju", "internal/charm", "internal/sim", "internal/sim/…"}},
	{"github.com/juju/charm/v12", []string{"internal/sim", "internal/sim/…", "internal/pack", "test/load"}},
	// What a stopped member knew is read from its log, with etcd's own reader.
	{"go.etcd.io/etcd/server/v3/storage", []string{"internal/host"}},
	{"go.etcd.io/etcd/server/v3", []string{"cmd/etcd-charm"}},
	{"go.etcd.io/etcd/etcdctl/v3", []string{"cmd/etcd-charm"}},
	{"go.etcd.io/etcd/etcdutl/v3", []string{"cmd/etcd-charm"}},
	{"go.etcd.io/etcd/api/v3", []string{"internal/host", "internal/proxy", "cmd/etcd-charm", "test/bench"}},
	{"go.etcd.io/etcd/client/v3", []string{"internal/host", "test/load", "test/bench", "test/robustness"}},
	{"go.etcd.io/etcd/", []string{"internal/host"}},
	{"github.com/anishathalye/porcupine", []string{"test/robustness"}},
	{"github.com/stretchr/testify", []string{"test/…"}},
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

func TestImportsPointInward(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		i := slices.IndexFunc(inward, func(r struct {
			room string
			may  []string
		},
		) bool {
			return within(p.room(), []string{r.room})
		})
		if !assert.GreaterOrEqual(t, i, 0, "%s is not in the import table", p.room()) {
			continue
		}
		for _, imp := range p.Imports {
			if room, ours := strings.CutPrefix(imp, module+"/"); ours {
				assert.True(t, within(room, inward[i].may), "%s must not import %s", p.room(), room)
				continue
			}
			assert.False(t, strings.Contains(imp, ".") && within(p.room(), []string{"interfaces/*"}),
				"%s is for others to import and must need the standard library only, not %s", p.room(), imp)
			for _, g := range guests {
				if imp == strings.TrimSuffix(g.prefix, "/") || strings.HasPrefix(imp, strings.TrimSuffix(g.prefix, "/")+"/") {
					assert.True(t, within(p.room(), g.may), "%s must not import %s", p.room(), imp)
					break
				}
			}
		}
	}
}

// pure are the rooms that read no clock and touch nothing outside their arguments.
var pure = []string{"internal/operator", "interfaces/*"}

// impure are the packages that a pure room does not import: net/url and net/netip only parse, so they are not here.
var impure = []string{"os", "os/…", "net", "net/http", "net/http/…", "net/rpc", "net/rpc/…", "syscall", "math/rand", "math/rand/…", "crypto/rand", "io/ioutil", "log", "plugin", "unsafe"}

// clocks are the calls by which a pure room would learn or wait for the time; durations and times as data are welcome.
var clocks = map[string][]string{
	"time":    {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "LoadLocation"},
	"context": {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"},
}

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
			for _, use := range clockUses(t, filepath.Join(p.Dir, name)) {
				assert.Fail(t, "reads a clock", "%s is pure and must not call %s", filepath.Join(p.room(), name), use)
			}
		}
	}
	assert.GreaterOrEqual(t, found, 2, "the pure rooms are gone")
}

// clockUses lists the uses of clocks in a file, as package.Name, whatever name the file imports the package under.
func clockUses(t *testing.T, file string) (uses []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	local := map[string]string{}
	for _, imp := range f.Imports {
		from := strings.Trim(imp.Path.Value, `"`)
		if clocks[from] == nil {
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
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(clocks[local[x.Name]], sel.Sel.Name) {
				uses = append(uses, local[x.Name]+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return uses
}
