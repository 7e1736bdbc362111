package operator

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// TestWriteDiagnosis: the archive has status, plan, options, members and bags, but no whole bag of
// another application: that may hold keys.
func TestWriteDiagnosis(t *testing.T) {
	t.Parallel()
	m, w := healthyCluster(3)
	m.Relations = related(m, upstreamEndpoint, databag.Relation{
		ID: "upstream:4", Endpoint: "upstream", App: "etcd",
		Units: map[string]databag.Bag{"etcd/0": {"client_key": "a private key of somebody's"}}, RemoteApp: databag.Bag{"x": "a private key of somebody's"},
	})
	steps, out, err := WriteDiagnosis(nil, m, w)
	require.NoError(t, err)
	require.Len(t, steps, 1)
	step := steps[0].(Diagnose)
	assert.Equal(t, "write a diagnosis", step.String())
	var all strings.Builder
	for _, f := range step.Files {
		all.WriteString(f.Text)
		if strings.HasSuffix(f.Name, ".json") {
			assert.True(t, json.Valid([]byte(f.Text)), f.Name)
		}
	}
	for _, want := range []string{"margin   1", "quota_backend_bytes=2147483648", `"upstream:4 etcd"`, `"etcd/2": {`, `"status": "maintenance: write certificates`, `"next-step": "write certificates`} {
		assert.Contains(t, all.String(), want)
	}
	assert.NotContains(t, all.String(), "somebody's")
	assert.Equal(t, 1, strings.Count(step.Files[0].Text, "  READY "), "each table is there once")
	assert.Contains(t, step.Files[0].Text, "client  https://10.0.0.10:2379")

	a := Archive{"/var/lib/etcd-charm/etcd-0/diagnoses/etcd-0-20261127T071200Z.tar.gz", 50 << 10}
	w.Kept.Diagnosis = a
	answer := out.Finish(w)
	assert.Empty(t, answer.Failed)
	assert.Equal(t, a.Path, answer.Values["path"])
	assert.Contains(t, answer.Text, "\njuju ssh --pty=false etcd/0 sudo cat "+a.Path+" > etcd-0-20261127T071200Z.tar.gz\n")
	w.Kept.Diagnosis = Archive{}
	assert.NotEmpty(t, out.Finish(w).Failed)

	m, w = healthyProxy(2)
	steps, _, err = WriteDiagnosis(nil, m, w)
	require.NoError(t, err)
	require.Len(t, steps, 1, "a proxy too")
	assert.Equal(t, 1, strings.Count(steps[0].(Diagnose).Files[0].Text, "  ANSWERS "), "each table is there once")
}

func TestComparable(t *testing.T) {
	t.Parallel()
	one := func(revision int64) MemberReport {
		return MemberReport{Member: Member{Answers: true, Revision: revision}}
	}
	learner, silent, large := one(1), one(5), one(5)
	learner.Learner, silent.Answers, large.DBSize = true, false, largeToHash+1
	for name, tt := range map[string]struct {
		members []MemberReport
		want    int64
	}{
		"nobody":            {nil, 0},
		"the lowest counts": {[]MemberReport{one(7), one(5), one(6)}, 5},
		"a learner may lag": {[]MemberReport{one(7), learner}, 7},
		"one is silent":     {[]MemberReport{one(7), silent}, 0},
		"too much to read":  {[]MemberReport{large, one(7)}, 0},
	} {
		assert.Equal(t, tt.want, Report{Members: tt.members}.comparable(), name)
	}
}
