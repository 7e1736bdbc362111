package operator

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCatalogue: each kind has one name, that of its constant, and a text; a kind that blocks a
// unit says what to do, in the status line; one that calls for somebody does, in health at least.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	saysAll := map[string]bool{noElection.String(): true, jujuTooOld.String(): true, optionInvalid.String(): true, upstreamBroken.String(): true}
	for kind, e := range catalogue[1:] {
		assert.Regexp(t, `^[a-z]+(-[a-z]+)+$|^leaving$|^downgrade$|^crashed$`, e.name, "kind %d", kind+1)
		assert.False(t, names[e.name], "%s is there twice", e.name)
		names[e.name] = true
		assert.NotEmpty(t, e.of, e.name)
		assert.NotEmpty(t, e.health, e.name)
		assert.NotEmpty(t, e.text, e.name)
		assert.True(t, e.level != Blocked || e.remedy != "" || saysAll[e.name], "%s blocks and does not say what to do", e.name)
		advice := advice[Kind(kind+1)]
		assert.True(t, e.remedy == "" || advice == "", "%s says twice what to do", e.name)
		concern := e.health == Unhealthy || e.health == Degraded && e.level != Waiting
		assert.True(t, !concern || e.remedy+advice != "" || saysAll[e.name], "%s does not say what to do", e.name)
		bare := regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(e.text+"; "+e.remedy, "")
		assert.LessOrEqual(t, len(bare), 130, "%s is too long for a status line", e.name)
	}
}

// TestReasonsAreMadeByTheCatalogueOnly: no other file makes a reason or a refusal of its own. Each
// kind is used, with as many details as its texts have placeholders.
func TestReasonsAreMadeByTheCatalogueOnly(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	set := token.NewFileSet()
	byName, used := map[string]Kind{}, map[string]int{}
	for kind := none + 1; kind < kinds; kind++ {
		byName[kind.String()] = kind
	}
	for _, name := range names {
		if name == "reasons.go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			at := func() string { return set.Position(n.Pos()).String() }
			switch n := n.(type) {
			case *ast.Ident:
				if _, is := byName[kebab(n.Name)]; is {
					used[kebab(n.Name)]++
				}
			case *ast.CompositeLit:
				if typ, is := n.Type.(*ast.Ident); is && typ.Name == "Reason" && len(n.Elts) > 0 {
					assert.Equal(t, "reason.go", name, "a reason is made at %s", at())
				}
			case *ast.KeyValueExpr:
				if key, is := n.Key.(*ast.Ident); is && key.Name == "Failed" {
					assert.True(t, rendered(n.Value), "a refusal that is no rendering of reasons at %s", at())
				}
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if sel, is := left.(*ast.SelectorExpr); is && sel.Sel.Name == "Failed" && len(n.Rhs) == len(n.Lhs) {
						assert.True(t, rendered(n.Rhs[i]), "a refusal that is no rendering of reasons at %s", at())
					}
				}
			case *ast.CallExpr:
				if f, is := n.Fun.(*ast.Ident); is && f.Name == "because" {
					if kind, is := n.Args[0].(*ast.Ident); is && byName[kebab(kind.Name)] != none {
						e := catalogue[byName[kebab(kind.Name)]]
						assert.Len(t, n.Args[2:], len(e.placeholders()), "details of %s at %s", e.name, at())
					}
				}
			}
			return true
		})
	}
	for name := range byName {
		assert.NotZero(t, used[name], "no reason is of kind %s", name)
	}
}

// rendered reports whether an expression is a rendering of reasons.
func rendered(e ast.Expr) bool {
	call, is := e.(*ast.CallExpr)
	if !is {
		return false
	}
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name == "refusal"
	case *ast.SelectorExpr:
		return f.Sel.Name == "String"
	}
	return false
}

// kebab is a constant's name as a kind's.
func kebab(name string) string {
	var out strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			out.WriteByte('-')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// TestReasonsPage: the reference page lists every kind, as the catalogue has it and in its order,
// and no other.
func TestReasonsPage(t *testing.T) {
	t.Parallel()
	const file = "../../docs/reference/reasons.md"
	page, err := os.ReadFile(file)
	require.NoError(t, err)
	intro, _, found := strings.Cut(string(page), tableHead)
	require.True(t, found, "the page has no table")
	want := intro + tableHead
	for kind, e := range catalogue[1:] {
		want += row(e, advice[Kind(kind+1)])
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
		return
	}
	lines := strings.Split(want, "\n")
	for i, line := range strings.Split(string(page), "\n") {
		require.Less(t, i, len(lines), "the page lists what is not in the catalogue: %s", line)
		require.Equal(t, lines[i], line)
	}
	assert.Equal(t, strings.Count(want, "\n"), strings.Count(string(page), "\n"), "a kind is missing")
}

const tableHead = "| kind | status | health | it says | what to do |\n|---|---|---|---|---|\n"

func row(e entry, advice string) string {
	level, remedy := string(e.level), cmp.Or(e.remedy, advice, "–")
	if level == "" {
		level = "–"
	}
	if e.own != "" {
		level += ", on the unit itself " + string(e.own)
	}
	return "| <a id=\"" + e.name + "\"></a>`" + e.name + "` | " + level + " | " + string(e.health) + " | " + angles(e.text) + " | " + angles(remedy) + " |\n"
}

// angles are placeholders as Markdown shows them.
func angles(text string) string {
	return strings.NewReplacer("<", "&lt;", ">", "&gt;", "{", "*", "}", "*").Replace(text)
}
