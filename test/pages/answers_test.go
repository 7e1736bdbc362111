package pages_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/test/built"
)

// asked are the actions, each as it is asked of a healthy cluster or of its proxy, in an order in
// which all of them have something to answer.
var asked = []string{
	"etcd-proxy/0 health", "etcd-proxy/0 list-members",
	"etcd/leader list-members", "etcd/leader alarm-list", "etcd/leader check-removal unit=etcd/1",
	"etcd/leader compact keep=0", "etcd/leader defrag", "etcd/leader alarm-disarm",
	"etcd/leader snapshot", "etcd/leader snapshot", "etcd/leader list-snapshots",
	"etcd/leader verify-snapshot", "etcd/leader drill",
	"etcd/leader restore snapshot=latest dry-run=true",
	"etcd/leader diagnose", "etcd/leader disk-check", "etcd/leader purge", "etcd/leader health",
	"etcd/leader rolling-restart", "etcd/leader operation",
}

// refused are the actions that a healthy cluster refuses.
var refused = []string{
	"etcd/leader recover dry-run=true", "etcd/leader found-cluster confirm=id-00000000000000c1",
}

// TestAnswers: the reference has every key that an action answers with; for the keys of members and
// of health it leads to the page that explains them.
func TestAnswers(t *testing.T) {
	t.Parallel()
	names, _ := entries(t, document(t, "actions.yaml"))
	for _, line := range slices.Concat(asked, refused) {
		names = slices.DeleteFunc(names, func(n string) bool { return n == strings.Fields(line)[1] })
	}
	require.Empty(t, names, "nobody asks these actions")

	r := newReader(t, built.Archive(t))
	for _, line := range []string{
		"juju deploy ./dist/" + archiveName + " etcd -n 3", "juju deploy ./dist/" + archiveName + " etcd-proxy --config role=proxy",
		"juju integrate etcd:proxy etcd-proxy:upstream",
		"juju-sim wait etcd '^active 3/3 voters'", "juju-sim wait etcd-proxy '^active .*3/3 members'",
	} {
		out, err := r.sh(line)
		require.NoError(t, err, out)
	}
	for _, line := range refused {
		out, err := r.sh("juju run " + line)
		require.Error(t, err, "%s\n%s", line, strings.Join(out, "\n"))
	}
	for _, line := range asked {
		out, err := r.sh("juju run " + line + " --format json")
		require.NoError(t, err, "%s\n%s", line, strings.Join(out, "\n"))
		var answers map[string]struct {
			Results map[string]any `json:"results"`
		}
		require.NoError(t, json.Unmarshal([]byte(strings.Join(out, "\n")), &answers), line)
		require.Len(t, answers, 1, line)
		known := keysInReference(t, strings.Fields(line)[1])
		for _, answer := range answers {
			keys := keysOf(answer.Results)
			require.Contains(t, keys, "about", line)
			for _, key := range keys {
				assert.True(t, known[key], "%s answers with %s", line, key)
			}
		}
	}
}

// keysInReference are the words that the reference has as code in an action's section, and those of
// the page that it leads to for the keys of health.
func keysInReference(t *testing.T, action string) map[string]bool {
	t.Helper()
	_, section, found := strings.Cut(strings.Join(pageOf(t, "docs/reference/actions.md").prose(), "\n"), "\n## "+action+"\n")
	require.True(t, found, action)
	section, _, _ = strings.Cut(section, "\n## ")
	if strings.Contains(section, "(../how-to/read-health.md") {
		section += strings.Join(pageOf(t, "docs/how-to/read-health.md").prose(), "\n")
	}
	known := map[string]bool{"about": true, "return-code": true}
	for _, found := range code.FindAllStringSubmatch(section, -1) {
		for _, word := range regexp.MustCompile(`[a-z][a-z0-9-]*`).FindAllString(found[1], -1) {
			known[word] = true
		}
	}
	return known
}

// aThing is what a result has a map for: a member, a unit, a snapshot.
var aThing = regexp.MustCompile(`^(etcd|member|data)-?[0-9a-z-]*[0-9]`)

// keysOf are the keys of a result, at every depth, without those that name a thing.
func keysOf(result map[string]any) (keys []string) {
	for key, value := range result {
		if !aThing.MatchString(key) {
			keys = append(keys, key)
		}
		if below, ok := value.(map[string]any); ok {
			keys = append(keys, keysOf(below)...)
		}
	}
	return keys
}
