package host

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

var recordAnswers = flag.Bool("record", false, "write internal/operator/testdata/answers instead of comparing with it")

// TestAnswers compares the raw answers that internal/operator judges in its table with what real
// servers answer in the same situations: go test -run TestAnswers -record writes them.
func TestAnswers(t *testing.T) {
	t.Parallel()
	three := func(t *testing.T) (*fleet, []*unit) {
		t.Helper()
		f := newFleet(t)
		units := []*unit{f.add(t), f.add(t), f.add(t)}
		units[0].found()
		units[1].join()
		units[2].join()
		return f, units
	}
	pause := func(t *testing.T, u *unit) {
		t.Helper()
		state, err := u.supervisor.state(t.Context())
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(state.process.pid, syscall.SIGSTOP))
		t.Cleanup(func() { _ = syscall.Kill(state.process.pid, syscall.SIGCONT) })
	}
	for name, arrange := range map[string]func(t *testing.T) *fleet{
		"three": func(t *testing.T) *fleet { t.Helper(); f, _ := three(t); return f },
		"learner": func(t *testing.T) *fleet {
			t.Helper()
			f := newFleet(t)
			a, b := f.add(t), f.add(t)
			a.found()
			b.learn()
			return f
		},
		// The first member hears no other.
		"first alone": func(t *testing.T) *fleet {
			t.Helper()
			f, units := three(t)
			pause(t, units[1])
			pause(t, units[2])
			return f
		},
		"restarted without quorum": func(t *testing.T) *fleet {
			t.Helper()
			f := newFleet(t)
			a, b := f.add(t), f.add(t)
			a.found()
			b.join()
			b.do(operator.Stop{Why: "test"})
			a.do(operator.Restart{}, operator.AwaitReady{Learner: true})
			return f
		},
		"two clusters": func(t *testing.T) *fleet {
			t.Helper()
			f := newFleet(t)
			a := f.add(t)
			a.found()
			one := f.record
			f.record = operator.AppBag{}
			b := f.add(t)
			unitBag := a.word
			a.word = operator.UnitBag{}
			b.found()
			a.word, f.record = unitBag, one
			return f
		},
		"third removed": func(t *testing.T) *fleet {
			t.Helper()
			f, units := three(t)
			units[2].do(operator.Stop{Why: "test"})
			units[0].do(operator.RemoveMember{ID: units[2].word.MemberID, Name: "etcd/2", Why: "test"})
			return f
		},
		// The third is cut off from two that go on, and keeps the list that it had.
		"third alone": func(t *testing.T) *fleet {
			t.Helper()
			f, units := three(t)
			pause(t, units[0])
			pause(t, units[1])
			return f
		},
		// The second serves, but not at the URL where it is listed: others reach it by its peer URL.
		"only others reach it": func(t *testing.T) *fleet {
			t.Helper()
			f := newFleet(t)
			a, b := f.add(t), f.add(t)
			a.found()
			b.join()
			s := b.server(operator.Initial{})
			s.ClientURL = b.url(2399)
			b.do(operator.WriteMember{Server: s}, operator.Restart{}, operator.AwaitReady{})
			b.word.ClientURL = s.ClientURL
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := arrange(t)
			file := filepath.Join("..", "operator", "testdata", "answers", strings.ReplaceAll(name, " ", "-")+".json")
			if *recordAnswers {
				time.Sleep(3 * time.Second) // a recording is made by hand: let elections and time-outs pass
				text, err := json.MarshalIndent(f.answers(t), "", "  ")
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(file, append(text, '\n'), 0o600))
				return
			}
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			var want, got []operator.Answer
			require.NoError(t, json.Unmarshal(text, &want))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			_ = poll(ctx, 100*time.Millisecond, func(context.Context) (bool, error) {
				got = f.answers(t)
				return assert.ObjectsAreEqual(want, got), nil
			})
			assert.Equal(t, want, got)
		})
	}
}

// answers asks every unit's client URL, as the first unit does, and replaces the IDs of units and
// clusters with their numbers. It leaves out what differs from run to run.
func (f *fleet) answers(t *testing.T) []operator.Answer {
	t.Helper()
	clusters := []uint64{0, f.record.ClusterID}
	members := map[uint64]uint64{}
	names := []string{}
	for i, u := range f.units {
		data := u.lookData()
		members[data.MemberID] = uint64(i + 1)
		if data.ClusterID != 0 && !slices.Contains(clusters, data.ClusterID) {
			clusters = append(clusters, data.ClusterID)
		}
		names = append(names, "://"+u.ip+":", fmt.Sprintf("://10.0.0.%d:", i+1))
	}
	rename := strings.NewReplacer(names...)
	member := func(m *operator.Member) {
		m.ID, m.Leader = members[m.ID], min(m.Leader, 1) // only whether there is a leader: on a slow machine another member is elected
		m.PeerURLs, m.ClientURLs = slices.Clone(m.PeerURLs), slices.Clone(m.ClientURLs)
		for _, urls := range [][]string{m.PeerURLs, m.ClientURLs} {
			for i := range urls {
				urls[i] = rename.Replace(urls[i])
			}
		}
		m.Version, m.StorageVersion, m.RTT, m.CertRemaining = "", "", 0, 0
		m.DBSize, m.DBInUse, m.Quota, m.Term, m.Index, m.Applied, m.Revision = 0, 0, 0, 0, 0, 0, 0
	}
	access := f.units[0].access(f.authority)
	out := make([]operator.Answer, len(f.units))
	var asks []func()
	for i, u := range f.units {
		url := u.url(f.config.Port)
		if u.word.ClientURL != "" {
			url = u.word.ClientURL
		}
		asks = append(asks, func() { out[i] = f.units[0].probe(t.Context(), access, url, false) })
	}
	parallel(asks...)
	for i := range out {
		a := &out[i]
		a.URL = rename.Replace(a.URL)
		a.ClusterID, a.MemberID = uint64(slices.Index(clusters, a.ClusterID)), members[a.MemberID]
		member(&a.Self)
		a.Turn = operator.Turn{}
		for _, list := range [][]operator.Member{a.List, a.Linear} {
			for j := range list {
				member(&list[j])
			}
			slices.SortFunc(list, func(a, b operator.Member) int { return cmp.Compare(a.ID, b.ID) })
		}
	}
	// JSON does not distinguish an empty list from none, and neither do the readers.
	text, err := json.Marshal(out)
	require.NoError(t, err)
	out = nil
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}
