package pages_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// core is what the sources of internal/operator say about the reasons that its actions can reach.
type core struct {
	actions map[string]types.Object // the function of each action
	kinds   map[types.Object]string // the name on the page of each kind of reason
	uses    map[types.Object][]types.Object
}

// nothing imports nothing: what other packages declare is of no interest here.
type nothing struct{}

func (nothing) Import(string) (*types.Package, error) { return nil, errors.New("not imported") }

// readCore reads internal/operator.
func readCore(t *testing.T) core {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "internal/operator/*.go"))
	require.NoError(t, err)
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
	}
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: nothing{}, Error: func(error) {}}
	_, _ = conf.Check("operator", set, files, info) // the imports are missing
	c := core{map[string]types.Object{}, map[types.Object]string{}, map[types.Object][]types.Object{}}
	for _, file := range files {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				c.note(info, d.Name, d)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if v, ok := spec.(*ast.ValueSpec); ok {
						for i, name := range v.Names {
							c.note(info, name, v)
							if i < len(v.Values) {
								c.pairs(info, name.Name, v.Values[i])
							}
						}
					}
				}
			}
		}
	}
	require.NotEmpty(t, c.actions)
	require.NotEmpty(t, c.kinds)
	return c
}

// note notes what a declaration names.
func (c core) note(info *types.Info, name *ast.Ident, d ast.Node) {
	of := info.Defs[name]
	ast.Inspect(d, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && info.Uses[id] != nil {
			c.uses[of] = append(c.uses[of], info.Uses[id])
		}
		return true
	})
}

// pairs notes the entries of Actions and of the catalogue of reasons.
func (c core) pairs(info *types.Info, name string, value ast.Expr) {
	list, ok := value.(*ast.CompositeLit)
	if !ok {
		return
	}
	for _, e := range list.Elts {
		pair, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		switch key := pair.Key.(type) {
		case *ast.BasicLit:
			if f, ok := pair.Value.(*ast.Ident); ok && name == "Actions" {
				action, _ := strconv.Unquote(key.Value)
				c.actions[action] = info.Uses[f]
			}
		case *ast.Ident:
			if entry, ok := pair.Value.(*ast.CompositeLit); ok && name == "catalogue" {
				if first, ok := entry.Elts[0].(*ast.BasicLit); ok {
					c.kinds[info.Uses[key]], _ = strconv.Unquote(first.Value)
				}
			}
		}
	}
}

// apart are what every action uses and no refusal comes from: the list of all reasons, the report on
// what is, and what the charm would do now.
var apart = []string{"catalogue", "Actions", "Examine", "StatusOf", "Decide", "alarm", "sayOperation"}

// reaches are the reasons that a function names, or that what it names does.
func (c core) reaches(function types.Object) []string {
	seen, next := map[types.Object]bool{}, []types.Object{function}
	var out []string
	for len(next) > 0 {
		of := next[0]
		next = next[1:]
		if seen[of] || slices.Contains(apart, of.Name()) {
			continue
		}
		seen[of] = true
		if kind, ok := c.kinds[of]; ok {
			out = append(out, kind)
		}
		next = append(next, c.uses[of]...)
	}
	return out
}

// refusals are the reasons that no status line and no list of a report has: an action answers with
// them. They come last on the page of reasons.
func refusals(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/reference/reasons.md"))
	require.NoError(t, err)
	var out []string
	for _, row := range regexp.MustCompile(`(?m)^\| <a id="([a-z-]+)"></a>.*?\| ([a-z–]+) \|`).FindAllStringSubmatch(string(text), -1) {
		if row[1] == "is-proxy" || len(out) > 0 {
			require.Equal(t, "–", row[2], "%s is no refusal: it belongs further up", row[1])
			out = append(out, row[1])
		}
	}
	require.NotEmpty(t, out)
	return out
}

// refusedWith is the line of an action's section that names the reasons with which it refuses.
func refusedWith(t *testing.T, c core, action string) string {
	t.Helper()
	function, ok := c.actions[action]
	require.True(t, ok, "%s: no function", action)
	reached := c.reaches(function)
	var links []string
	for _, name := range refusals(t) {
		if slices.Contains(reached, name) {
			links = append(links, fmt.Sprintf("[`%s`](reasons.md#%s)", name, name))
		}
	}
	if len(links) == 0 {
		return ""
	}
	return "\n**May refuse** with\n" + strings.Join(links, ",\n") + ".\n"
}

// TestEveryRefusalIsAnActions: each reason that only actions answer with is reached by one.
func TestEveryRefusalIsAnActions(t *testing.T) {
	t.Parallel()
	c := readCore(t)
	var reached []string
	for _, function := range c.actions {
		reached = append(reached, c.reaches(function)...)
	}
	for _, name := range refusals(t) {
		assert.Contains(t, reached, name, "no action refuses with it")
	}
}
