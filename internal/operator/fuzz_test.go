package operator

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
)

// FuzzActions: whatever an action is asked for, in whatever state, it answers the same a second
// time, and takes no step that it has refused.
func FuzzActions(f *testing.F) {
	for _, params := range []string{
		`{}`, `{"unit": "etcd/1"}`, `{"unit": "etcd/999999999999999999999"}`, `{"unit": 7}`, `{"confirm": "c1"}`, `{"confirm": "-1"}`,
		`{"revision": 1, "keep": 1}`, `{"revision": -1}`, `{"keep": 1e300}`, `{"revision": "1"}`, `{"x": {"y": [null]}}`,
		`{"snapshot": "latest"}`, `{"snapshot": "/a b", "source": "etcd/1", "unverified": true, "dry-run": true}`, `{"before": "2026-01-31T23:59:00Z"}`,
		`{"from": "data-dir", "without": "etcd/1,etcd/0"}`, `{"confirm": "id-c1", "without": "etcd/1", "dry-run": "true"}`, `{"snapshot": "\u0000", "before": "x"}`,
		`{"to": "/tmp/x.db"}`, `{"to": "../x"}`, `{"snapshot": "latest", "unverified": true}`, `{"snapshot": "/dev/zero", "unverified": 1}`,
		`{"what": "aside", "confirm": true}`, `{"what": ",,", "confirm": true}`, `{"format": "json"}`,
	} {
		f.Add(params, uint8(3), uint8(0))
		f.Add(params, uint8(1), uint8(1))
	}
	f.Fuzz(func(t *testing.T, text string, size, trouble uint8) {
		var params map[string]any
		if json.Unmarshal([]byte(text), &params) != nil {
			return
		}
		n := 1 + int(size)%5
		m, w := healthyCluster(n)
		if trouble&1 != 0 {
			w.Reach = []Reach{Absent, Unreachable, NoQuorum, Healthy}[int(trouble>>1)%4]
		}
		if trouble&8 != 0 {
			m.Units = Unknown[map[string]Life]("goal-state failed")
		}
		if trouble&16 != 0 {
			m.Cluster = Unknown[Cluster]("not visible")
		}
		for name, action := range Actions {
			steps, result, err := action(params, m, w)
			again, sameResult, sameErr := action(params, m, w)
			assert.True(t, reflect.DeepEqual(steps, again), name)
			assert.Equal(t, result.Failed, sameResult.Failed, name)
			assert.Equal(t, result.Text, sameResult.Text, name)
			assert.Equal(t, err == nil, sameErr == nil, name)
			if err != nil || result.Failed != "" {
				assert.Empty(t, steps, name)
			}
			if err != nil {
				assert.Less(t, len(err.Error()), 4096, name)
			}
		}
	})
}

// FuzzVersions: releases have one order, and an upgrade between two of them is refused or not,
// never both.
func FuzzVersions(f *testing.F) {
	f.Add("3.7.3-0123456789ab", "3.6.16-0123456789ab", "3.7")
	f.Add("3.10.0", "3.9.9", "x.y")
	f.Add("", "-", "..")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		assert.False(t, older(a, a))
		assert.False(t, older(a, b) && older(b, a))
		if older(a, b) && older(b, c) {
			assert.True(t, older(a, c))
		}
		same := World{Service: Service{Release: a}, Carried: a}
		assert.Empty(t, newView(Event{}, Model{}, same).upgradeProblem())
	})
}

// FuzzAlarm: text that is no alarm gives none, and an alarm that is read is one that etcd can
// raise.
func FuzzAlarm(f *testing.F) {
	f.Add("memberID:10501334649042878790 alarm:NOSPACE ")
	f.Add("memberID: 1  alarm: CORRUPT")
	f.Add("memberID:99999999999999999999999 alarm:x")
	f.Fuzz(func(t *testing.T, text string) {
		alarm, ok := parseAlarm(text)
		if !ok {
			return
		}
		assert.NotEmpty(t, alarm.Kind)
		assert.Contains(t, text, alarm.Kind)
		again, ok := parseAlarm(fmt.Sprintf("memberID:%d alarm:%s", alarm.MemberID, alarm.Kind))
		assert.True(t, ok)
		assert.Equal(t, alarm, again)
	})
}
