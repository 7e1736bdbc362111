package operator

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// TestReportForPrograms compares the report for programs with testdata/report; UPDATE_GOLDEN=1
// writes it. A key that is removed or changes its meaning breaks programs, and needs a new schema.
func TestReportForPrograms(t *testing.T) {
	t.Parallel()
	for name, scene := range map[string]func() (Model, World){
		"trouble": func() (Model, World) {
			m, w := troubledCluster()
			w.Kept = Kept{
				Snapshots: []Snapshot{{Name: "etcd-0-20261127T063802Z", Taken: 100, Revision: 13, Size: 4096, Stored: 890}},
				Aside:     []AsideDir{{Path: "/x", Bytes: 12}}, Space: 1 << 30, Free: 1 << 40, Drilled: 90,
			}
			w.Now = 160
			return m, w
		},
		"proxy": func() (Model, World) {
			m, w := healthyProxy(2)
			w.Upstream[1] = UpstreamProbe{Name: "etcd1", PeerURL: "https://10.0.0.11:2380", Error: "connection refused"}
			return m, w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := scene()
			_, out, err := Health(map[string]any{"format": "json"}, m, w)
			require.NoError(t, err)
			assert.Empty(t, out.Text, "programs need no text for people")
			_, text, err := Health(map[string]any{"format": "text"}, m, w)
			require.NoError(t, err)
			assert.Equal(t, Examine(m, w).Table(), text.Text)
			assert.Equal(t, text.Failed, out.Failed)
			assert.NotContains(t, text.Values, JSONKey)
			for key, value := range text.Values {
				assert.Equal(t, value, out.Values[key], "the nested results stay as they are")
			}
			var report map[string]any
			require.NoError(t, json.Unmarshal([]byte(out.Values[JSONKey].(string)), &report))
			got, err := json.MarshalIndent(report, "", "  ")
			require.NoError(t, err)
			file := filepath.Join("testdata", "report", name+".json")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				require.NoError(t, os.WriteFile(file, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), string(got)+"\n")
			assert.NotContains(t, string(got), "null", "lists are there, be they empty")
		})
	}
}

func TestHealthFormats(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(1)
	for _, bad := range []any{"yaml", 1.0, "", true} {
		_, _, err := Health(map[string]any{"format": bad}, m, w)
		require.ErrorContains(t, err, `cannot use parameter "format"`)
	}
}

// TestReportFitsATerminal: as juju run prints it, indented, the report keeps within 80 columns. It
// begins with the verdict and the reasons, each with what to do, whatever names and however many
// problems there are.
func TestReportFitsATerminal(t *testing.T) {
	t.Parallel()
	for name, scene := range map[string]func() (Model, World){
		"trouble": troubledCluster,
		"lost":    lostCluster,
		"long names": func() (Model, World) {
			m, w := troubledCluster()
			return renamed(m, w, strings.Repeat("long-name-", 6)+"x")
		},
		"words without a blank": func() (Model, World) {
			m, w := troubledCluster()
			w.Members[0].Errors = slices.Repeat([]string{strings.Repeat("x", 300), "tab\tand\u00a0such", "é" + strings.Repeat("ü", 90)}, 30)
			w.Service.Failing, w.Service.Log = true, strings.Repeat("/a/long/path", 40)
			return m, w
		},
		"proxy": func() (Model, World) {
			m, w := healthyProxy(9)
			for i := range w.Upstream {
				w.Upstream[i].Answers, w.Upstream[i].Error = false, strings.Repeat("dial tcp: no route ", 20)
			}
			return m, w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, w := scene()
			_, out, err := Health(nil, m, w)
			require.NoError(t, err)
			printed, err := yaml.Marshal(map[string]string{TextKey: out.Text})
			require.NoError(t, err)
			lines := strings.Split(strings.TrimSpace(string(printed)), "\n")
			assert.Equal(t, "about: |", lines[0], "Juju prints it in lines, as it is")
			for _, line := range lines[1:] {
				indented := "  " + strings.TrimLeft(line, " ")
				if blanks := len(line) - len(strings.TrimLeft(line, " ")); blanks > 4 { // yaml.v3 indents by four, Juju by two
					indented = strings.Repeat(" ", blanks-2) + strings.TrimLeft(line, " ")
				}
				assert.LessOrEqual(t, len([]rune(indented)), 80, line)
			}
			r := Examine(m, w)
			assert.Regexp(t, `^health +(un)?healthy\n|^health +degraded\n`, out.Text)
			because := strings.Join(strings.Fields(out.Text), " ")
			after := 0
			for _, reason := range r.healthReasons() {
				at := strings.Index(because, "because "+strings.Fields(reason.Text())[0])
				assert.Greater(t, at, after, "in the order of the reasons: %s", reason)
				after = at
			}
			assert.Less(t, after, strings.Index(because, " states "), "first what is wrong")
		})
	}
}

// renamed is the same application under another name.
func renamed(m Model, w World, app string) (Model, World) {
	swap := func(text string) string { return strings.Replace(text, "etcd/", app+"/", 1) }
	units, unitBags := map[string]Life{}, map[string]UnitBag{}
	for unit, life := range m.Units.Value {
		units[swap(unit)] = life
	}
	for unit, unitBag := range m.Cluster.Value.UnitBags {
		unitBags[swap(unit)] = unitBag
	}
	m.App, m.Unit, m.Units = app, swap(m.Unit), Know(units)
	c := m.Cluster.Value
	c.UnitBags = unitBags
	m.Cluster = Know(c)
	for i := range w.Members {
		w.Members[i].Name = strings.Replace(w.Members[i].Name, "etcd", app, 1)
	}
	w.Turn.Holder, w.Data.Owner.Unit = swap(w.Turn.Holder), m.Unit
	return m, w
}
