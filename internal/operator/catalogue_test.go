package operator

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// samples are values for the placeholders of the catalogue: a usual one, and one as long as it may
// be. Text from elsewhere is longest in a step's error or a line of a log.
var samples = map[string][2]string{
	"Juju":        {"Juju", "Juju"},
	"version":     {"3.7.3", "3.7.30-rc.10"},
	"carried":     {"3.7.3", "3.7.30-rc.10"},
	"minor":       {"3.7", "3.10"},
	"cluster":     {"7fce04ec8602b2fc", "7fce04ec8602b2fc"},
	"recorded":    {"c99b97477a9c5a23", "c99b97477a9c5a23"},
	"other":       {"c99b97477a9c5a23", "c99b97477a9c5a23"},
	"member":      {"etcd/12", longUnit},
	"unit":        {"etcd/12", longUnit},
	"holder":      {"etcd/12", longUnit},
	"units":       {"etcd/10, etcd/11 and 1 more", longUnit + ", " + longUnit + " and 1 more"},
	"application": {"etcd", longApp},
	"provider":    {"etcd", longApp},
	"service":     {"etcd-charm-etcd-12", "etcd-charm-" + strings.ReplaceAll(longUnit, "/", "-")},
	"certificate": {"server (29d)", "server (29d)"},
	"option":      {"client_port", "auto_compaction_retention"},
	"problem":     {"must be 1 to 65535", longText},
	"role":        {"member", "member"},
	"wanted":      {"proxy", "proxy"},
	"port":        {"2379", "65535"},
	"lowest":      {"1024", "65535"},
	"address":     {"0.0.0.0:2379", "[fd42:1234:5678:9abc:216:3eff:fe12:3456]:2379"},
	"path":        {"/etc/etcd-charm/etcd-0/tls/server.key", "/opt/etcd-charm/" + strings.Repeat("a-long-name/", 9)},
	"remedy":      {"chmod o+x /etc", "the service no longer uses it once it restarts with the charm's own release"},
	"id":          {"restart-1a2b3c", "restart-1a2b3c"},
	"operation":   {"rolling-restart", "rolling-restart"},
	"age":         {"13h", "400d"},
	"filesystem":  {"nfs", "overlay"},
	"took":        {"12ms", "1.25s"},
	"kind":        {"snapshot", "snapshot"},
	"progress":    {"copy: 120 of 340 MiB", "copy: 10120 of 10340 MiB"},
	"zone":        {"eu-west-1a", "a-zone-with-a-long-name"},
	"count":       {"20000", "30000"},
	"room":        {"2 GiB", "100 GiB"},
	"used":        {"2 GiB", "99 GiB"},
	"state":       {"is not ready", "does not say that it takes it"},
	"owner":       {"etcd/11", longUnit},
	"flaw":        {"older than it was (30 of 91 entries)", "older than it was (12345678901 of 12345678999 entries)"},
	"group":       {"etcd-users", "a-group-of-32-characters-at-most"},
	"members":     {"3", "9"},
	"quota":       {"2147483648", "8589934592"},
	"size":        {"2147483648", "8589934592"},
	"reach":       {"no quorum", "unreachable"},
	"voters":      {"3", "9"},
	"ready":       {"1", "9"},
	"needed":      {"2", "9"},
	"answering":   {"1", "9"},
	"relation":    {"upstream:12", "upstream:1234"},
	"endpoint":    {"proxy", "certificates"},
	"what":        {"the provider has published no members yet", "the provider has published no members yet"},
	"log":         {"listen tcp 10.0.0.1:2379: address already in use", longText},
	"error":       {"context deadline exceeded", longText},
	"errors":      {"context deadline exceeded", longText},
	"why":         {"state-get: no answer within 10 s", longText},
	"step":        {"wait for our server to be ready", "add ourselves as learner at https://[fd42:1234:5678:9abc:216:3eff:fe12:3456]:2380"},
	"alarm":       {"NOSPACE", "NOSPACE"},
	"percent":     {"80", "80"},
	"limit":       {"5000", "5000"},
	"first":       {"4", "4000"},
	"last":        {"5", "4001"},
	"command":     {"juju run etcd/leader restore snapshot=latest source=etcd/1 confirm=id-7fce04ec8602b2fc", "juju run " + longApp + "/leader restore snapshot=/a/b"},
	"snapshot":    {"latest", "/var/lib/a/long/path/of/a/file.db"},
	"left":        {"29d", "29d"},
	"times":       {"once", "1000 times"},
	"when":        {"2046-11-27", "2046-11-27"},
	"revision":    {"1000", "123456789012"},
	"current":     {"999", "123456789011"},
	work:          {"certificates are not issued", "certificates are not issued"},
}

const longApp = "a-plausible-application-name-x" // 30 characters

var (
	longUnit = longApp + "/123"
	longText = strings.Repeat("what another program says ", 8)
)

// sample is a reason of that kind: 0 with what is usual, 1 with the longest.
func sample(t *testing.T, kind Kind, which int) Reason {
	t.Helper()
	e := catalogue[kind]
	var details []string
	for _, word := range e.placeholders() {
		text, known := samples[word]
		require.True(t, known, "%s: a sample of {%s} is missing", e.name, word)
		details = append(details, text[which])
	}
	subject, known := samples[e.of]
	require.True(t, known, "%s: a sample of {%s} is missing", e.name, e.of)
	return because(kind, subject[which], details...)
}

// decisions are kinds whose remedy is not a command but a decision, which takes more words than the
// line has room for.
var decisions = map[Kind]bool{
	quotaTooLow: true, dataDiffers: true, dataOfAnother: true, dataGivenUp: true, dataOfOthers: true, foreignSettings: true, leaveAwaitsVoter: true,
	leaveAwaitsRecord: true, clustersUnsettled: true, dataUnfit: true, dataUnfitAlone: true, dataUnfitAgain: true,
	pathAstray: true, dataUnreadable: true, dataForbidden: true, dataDiskFull: true, nothingThrough: true,
}

// TestAReasonOfSeveralFitsTheLine: a remedy that fits for one subject is shown for several too;
// these are then only counted.
func TestAReasonOfSeveralFitsTheLine(t *testing.T) {
	t.Parallel()
	several := func(n int) string {
		r := because(spaceLiveData, "etcd/0", "15 MiB", "16 MiB")
		for i := 1; i < n; i++ {
			r.Subjects = append(r.Subjects, unitName(i))
		}
		return line([]Reason{r}, "")
	}
	assert.Equal(t, "NOSPACE on etcd/0: no writes; 15 MiB of 16 MiB live: raise quota or delete", several(1))
	assert.Equal(t, "NOSPACE on 2 members: no writes; 15 MiB of 16 MiB live: raise quota or delete", several(2))
	assert.Equal(t, "NOSPACE on 5 members: no writes; 15 MiB of 16 MiB live: raise quota or delete", several(5))
}

// TestEveryReasonFitsTheLine: `juju status` cuts a message at about 120 characters, and a command
// that is cut cannot be copied. With ordinary names the line has the whole text and remedy. With
// the longest names it begins with what is wrong, and a remedy that does not fit is shown in
// health.
func TestEveryReasonFitsTheLine(t *testing.T) {
	t.Parallel()
	for kind := none + 1; kind < kinds; kind++ {
		e := catalogue[kind]
		if e.level == "" && e.own == "" {
			continue
		}
		usual, long := sample(t, kind, 0).to(Blocked), sample(t, kind, 1).to(Blocked)
		whole := strings.TrimSuffix(usual.Text()+"; "+usual.Remedy(), "; ")
		if decisions[kind] {
			whole = usual.Text() + "; " + seeHealth
		}
		assert.LessOrEqual(t, len([]rune(whole)), lineWidth, "%s: %s", e.name, whole)
		assert.Equal(t, whole, line([]Reason{usual}, ""), e.name)
		out := line([]Reason{long}, "")
		assert.LessOrEqual(t, len([]rune(out)), lineWidth, "%s: %s", e.name, out)
		text, remedy := long.Text(), long.Remedy()
		assert.True(t, strings.HasPrefix(out, text[:min(20, len(text))]), "%s: what is wrong stands first", e.name)
		if remedy != "" && !strings.HasSuffix(out, "; "+remedy) {
			assert.True(t, strings.HasSuffix(out, "; "+seeHealth), "%s: a remedy is whole or in health: %s", e.name, out)
		}
		more := line([]Reason{long, long, long}, "3/3 voters")
		assert.LessOrEqual(t, len([]rune(more)), 100, "%s: %s", e.name, more)
	}
}
