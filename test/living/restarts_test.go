package living

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// watched is a member whose restarts count, as it was when the watch began.
type watched struct {
	root string // of its machine
	log  string // the file
	from int    // its length
	pid  string
}

// restarts judges which members were down together by what the servers log themselves: a probe from
// outside takes a member on a busy machine for one that is down.
func (b *bench) restarts(ts *testscript.TestScript, _ bool, args []string) {
	s := b.scene(ts)
	if args[0] == "start" {
		s.watched = map[string]watched{}
		for unit := range b.units(ts) {
			root := b.ask(ts, "root", unit)
			log := filepath.Join(root, "var/log/journal/etcd-charm-"+strings.ReplaceAll(unit, "/", "-")+".service.log")
			s.watched[unit] = watched{root: root, log: log, from: len(ts.ReadFile(log)), pid: server(ts, root)}
		}
		return
	}
	all, logs := map[string][]outage{}, map[string]string{}
	for unit, w := range s.watched {
		logs[unit] = ts.ReadFile(w.log)
		found, err := outages(logs[unit][w.from:])
		ts.Check(err)
		_, stays := b.units(ts)[unit] // a member that is removed while it runs ends without a signal
		if now := server(ts, w.root); stays && (now == w.pid) != (len(found) == 0) {
			ts.Fatalf("the log of %s tells of %d restarts, its process was %s and is %s", unit, len(found), w.pid, now)
		}
		all[unit] = found
	}
	s.watched = nil
	leavers(all, logs)
	order, most := together(all)
	for _, unit := range order {
		fmt.Fprintln(ts.Stdout(), unit)
	}
	fmt.Fprintln(ts.Stdout(), "at once:", most)
}

// outage is the time from when a server was told to end, or ended, until it served again; a zero to
// means never.
type outage struct{ from, to time.Time }

// What etcd logs first when it is told to end, and before it serves the first client.
const (
	toldToEnd = "received signal; shutting down"
	serves    = "ready to serve client requests"
)

// outages reads them from a server's log, which begins while it serves.
func outages(log string) ([]outage, error) {
	var all []outage
	var last time.Time
	away := func() bool { return len(all) > 0 && all[len(all)-1].to.IsZero() }
	for line := range strings.Lines(log) {
		var entry struct {
			TS  string `json:"ts"`
			Msg string `json:"msg"`
		}
		if json.Unmarshal([]byte(line), &entry) != nil {
			if strings.Contains(line, ".service: Main process exited, ") && !away() {
				all = append(all, outage{from: last})
			}
			continue
		}
		var err error
		if last, err = time.Parse(time.RFC3339Nano, entry.TS); err != nil {
			return nil, fmt.Errorf("cannot read the time of %q: %w", line, err)
		}
		switch {
		case entry.Msg == toldToEnd && !away():
			all = append(all, outage{from: last})
		case entry.Msg == serves && away():
			all[len(all)-1].to = last
		}
	}
	return all, nil
}

// leavers ends the outages of members that have left for good when the first of the others logs
// that they are no longer members.
func leavers(all map[string][]outage, logs map[string]string) {
	own, removed := map[string]string{}, map[string]time.Time{} // unit to member, member to when
	for unit, log := range logs {
		for line := range strings.Lines(log) {
			var entry struct {
				TS    time.Time `json:"ts"`
				Msg   string    `json:"msg"`
				Local string    `json:"local-member-id"`
				Gone  string    `json:"removed-remote-peer-id"`
			}
			if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &entry) != nil {
				continue
			}
			if entry.Local != "" {
				own[unit] = entry.Local
			}
			if first, told := removed[entry.Gone]; entry.Msg == "removed member" && (!told || entry.TS.Before(first)) {
				removed[entry.Gone] = entry.TS
			}
		}
	}
	for unit, found := range all {
		at, gone := removed[own[unit]]
		if last := len(found) - 1; gone && last >= 0 && found[last].to.IsZero() {
			if at.Before(found[last].from) {
				at = found[last].from // it was removed while it ran
			}
			found[last].to = at
		}
	}
}

// together returns which were away, in which order, and how many at most at one time.
func together(all map[string][]outage) (order []string, most int) {
	type event struct {
		at   time.Time
		unit string
		away int
	}
	var events []event
	for _, unit := range slices.Sorted(maps.Keys(all)) {
		for _, o := range all[unit] {
			events = append(events, event{o.from, unit, 1})
			if !o.to.IsZero() {
				events = append(events, event{o.to, unit, -1})
			}
		}
	}
	slices.SortStableFunc(events, func(a, b event) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.away, b.away)) // a member that is back makes room
	})
	now := 0
	for _, e := range events {
		now += e.away
		most = max(most, now)
		if e.away > 0 && !slices.Contains(order, e.unit) {
			order = append(order, e.unit)
		}
	}
	return order, most
}

// TestRestartsOfARoll reads the logs of three real servers: of a roll, and of a case in which the
// second member went down before the first was back.
func TestRestartsOfARoll(t *testing.T) {
	t.Parallel()
	all := map[string][]outage{}
	for unit := range 3 {
		text, err := os.ReadFile(fmt.Sprintf("testdata/logs/roll-%d.log", unit))
		require.NoError(t, err)
		name := fmt.Sprintf("etcd/%d", unit)
		all[name], err = outages(string(text))
		require.NoError(t, err)
		require.Len(t, all[name], 1)
		assert.False(t, all[name][0].to.IsZero())
	}
	order, most := together(all)
	assert.Len(t, order, 3)
	assert.Equal(t, 1, most)

	first, second := order[0], order[1]
	early := all[second][0]
	all[second] = []outage{{all[first][0].to.Add(-time.Microsecond), early.to}}
	_, most = together(all)
	assert.Equal(t, 2, most, "the second was told to end before the first served")

	all[first] = []outage{{from: all[first][0].from}}
	all[second] = []outage{early}
	_, most = together(all)
	assert.Equal(t, 2, most, "the first never came back")
}

func TestOutages(t *testing.T) {
	t.Parallel()
	at := func(second int, msg string) string {
		return fmt.Sprintf(`{"level":"info","ts":"2026-01-01T00:00:%02d.000001Z","msg":%q}`, second, msg) + "\n"
	}
	const crash = "etcd-charm-etcd-0.service: Main process exited, code=exited, status=1/FAILURE\n"
	for name, tc := range map[string]struct {
		log  string
		from []int // seconds
		to   []int // 0 is never
	}{
		"it runs on":           {at(1, "compacted"), nil, nil},
		"a restart":            {at(1, toldToEnd) + at(2, "closed etcd server") + at(3, serves) + at(4, serves), []int{1}, []int{3}},
		"it does not return":   {at(1, toldToEnd) + at(2, "discovery failed") + crash + at(3, "discovery failed") + crash, []int{1}, []int{0}},
		"a crash":              {at(1, "compacted") + crash + at(3, serves), []int{1}, []int{3}},
		"two restarts":         {at(1, toldToEnd) + at(2, serves) + at(3, toldToEnd) + at(4, serves), []int{1, 3}, []int{2, 4}},
		"told to end, failing": {at(1, toldToEnd) + crash + at(2, toldToEnd) + at(3, serves), []int{1}, []int{3}},
	} {
		found, err := outages(tc.log)
		require.NoError(t, err, name)
		var from, to []int
		for _, o := range found {
			from, to = append(from, o.from.Second()), append(to, o.to.Second())
		}
		assert.Equal(t, tc.from, from, name)
		assert.Equal(t, tc.to, to, name)
	}
}

func TestLeavers(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC) }
	said := func(second int, id, gone string) string {
		return fmt.Sprintf(`{"level":"info","ts":"2026-01-01T00:00:%02dZ","msg":"removed member","local-member-id":%q,"removed-remote-peer-id":%q}`, second, id, gone) + "\n"
	}
	logs := map[string]string{
		"etcd/0": `{"level":"info","ts":"2026-01-01T00:00:01Z","msg":"closing","local-member-id":"a"}` + "\nStarting etcd-charm-etcd-0.service...\n",
		"etcd/1": said(6, "b", "a"), "etcd/2": said(5, "c", "a") + said(9, "c", "d"),
	}
	all := map[string][]outage{"etcd/0": {{from: at(3)}}, "etcd/1": {{at(7), at(8)}}, "etcd/2": {{from: at(9)}}}
	leavers(all, logs)
	assert.Equal(t, map[string][]outage{"etcd/0": {{at(3), at(5)}}, "etcd/1": {{at(7), at(8)}}, "etcd/2": {{from: at(9)}}}, all)
	all["etcd/0"][0] = outage{from: at(7)}
	leavers(all, logs)
	assert.Equal(t, []outage{{at(7), at(7)}}, all["etcd/0"], "it was taken out while it ran")
}
