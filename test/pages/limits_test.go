package pages_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/server/v3/embed"
)

// TestLimits: each row of the page of limits names what the sources have. A limit that changes in
// the sources is missing here, and a new row needs a place where it is true.
func TestLimits(t *testing.T) {
	t.Parallel()
	at := func(parts ...string) []string { return parts }
	rows := map[string]struct {
		says  []string // what the row names
		file  string   // where it is set
		lines []string // what that file says
	}{
		"Juju":                          {at("2.9 to 4.0"), "charmcraft.yaml", at("- juju >= 2.9\n")},
		"Ubuntu":                        {at("22.04, 24.04, 26.04", "amd64, arm64"), "charmcraft.yaml", at("ubuntu@22.04:amd64:", "ubuntu@22.04:arm64:", "ubuntu@24.04:amd64:", "ubuntu@24.04:arm64:", "ubuntu@26.04:amd64:", "ubuntu@26.04:arm64:")},
		"members":                       {at("1 to 9 are measured"), "test/bench/cost.go", at("for n := 1; n <= 9; n += 2 {")},
		"learners":                      {at("one at a time"), "internal/operator/cluster.go", at("there is one at a time")},
		"consumers":                     {at("1,000"), "test/bench/cost.go", at("consumerCounts = []int{1, 10, 100, 1000}")},
		"database":                      {at("2 GiB by default, 100 GiB at most"), "internal/operator/config.go", at(`"quota_backend_bytes": {16 << 20, 100 << 30}`)},
		"request":                       {at("1.5 MiB by default, 10 MiB at most"), "internal/operator/config.go", at(`"max_request_bytes":   {1024, 10 << 20}`)},
		"operations in a transaction":   {at("128"), "", nil},
		"key and value":                 {at("that of the request"), "", nil},
		"further names in certificates": {at("100"), "internal/operator/config.go", at("const maxNames = 100\n")},
		"revoked certificates":          {at("30,000"), "interfaces/etcdcluster/bags.go", at("MaxRevoked = 30_000\n")},
		"etcd's version":                {at("one minor"), "internal/operator/roll.go", at("MajorMinor(is) != nextMinor(was)")},
		"a hook":                        {at("two minutes"), "cmd/etcd-charm/main.go", at("const deadline = 120 * time.Second\n")},
		"snapshots":                     {at("two on each unit by default", "a tenth", "2 GiB"), "internal/snapshot/room.go", at("const leastFree = 2 << 30\n")},
		"what can be restored":          {at("3.4 to 3.7"), "internal/secondlife/older_test.go", at("TestRestoreOlder: what etcd 3.4, 3.5 and 3.6 saved is restored")},
		"long work":                     {at("six hours"), "internal/host/work.go", at("const workTime = 6 * time.Hour\n")},
		"losing machines":               {at("(members − 1) / 2"), "", nil},
	}
	seen := map[string]bool{}
	for _, line := range pageOf(t, "docs/reference/limits.md").lines {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.Contains(line, "---") || strings.TrimSpace(cells[1]) == "what" {
			continue
		}
		name := strings.TrimSpace(cells[1])
		row, known := rows[name]
		if !assert.True(t, known, "%q: where is it set?", name) {
			continue
		}
		seen[name] = true
		for _, what := range row.says {
			assert.Contains(t, line, what)
		}
		if row.file == "" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, row.file))
		require.NoError(t, err)
		for _, what := range row.lines {
			assert.Contains(t, string(text), what, "%s, for %q", row.file, name)
		}
	}
	for name := range rows {
		assert.True(t, seen[name], "the page has no row %q", name)
	}
	assert.EqualValues(t, 128, embed.NewConfig().MaxTxnOps)
	assert.Equal(t, 1, embed.NewConfig().MaxLearners)
}
