package wayup

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
	"github.com/juju-charms/etcd-charm/test/load"
)

// Field is the commit whose charm the field has.
const Field = "eb07e43909aec6eb651518e81945296599fb0be7"

// Patience bounds the waits for what takes seconds, or a minute at most, on a quiet machine.
const Patience = 15 * time.Minute

const (
	etcd    = "etcd"
	members = 3
	// last is the unit that is left behind first, for that many hooks.
	last, hooks = "etcd/2", 10
	// rate is how often a second each user writes.
	rate = 5
)

// The proxies are applications of the same charm. The others use the credentials themselves, which
// they get at the endpoints proxy and db. The visitor comes and goes.
var proxies = []string{"proxy-a", "proxy-b"}

const (
	consumer = "plain-a"
	client   = "plain-b"
	visitor  = "visitor"
)

// Release is an unpacked charm.
type Release struct {
	model.Charm
	Path string
}

// World is an empty model, a runner for its hooks, and the charms.
type World struct {
	*model.Model
	Runner         model.Runner
	Field, Present Release
	Consumer       Release // requires the interface etcd-proxy, as its endpoint etcd
	Client         Release // requires the interface etcd, as its endpoint etcd
	// Beside returns how programs on the machine of a proxy's unit reach etcd.
	Beside func(unit string) load.Target
	// Shell runs a line of shell as root on the machine of a unit, and returns what it prints.
	Shell func(ctx context.Context, unit, line string) (string, error)
}

// story is the story that is played; t is that of the present part.
type story struct {
	World
	t      *testing.T
	keeper *keeper
	loads  []*load.Load
	behind string // the unit of etcd that is left behind; "" is none
	voters int    // how many there should be
}

// Play plays the story. Each part continues the one before.
func Play(t *testing.T, w World) {
	t.Helper()
	s := &story{World: w, keeper: &keeper{model: w.Model}, voters: members}
	s.Runner = s.keeper.beside(w.Runner)
	defer func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // after a failure nobody may answer
		defer cancel()
		for _, l := range s.loads {
			_, _ = l.Stop(ctx)
		}
	}()
	for _, part := range []struct {
		name string
		run  func()
	}{
		{"the field's charm", func() { s.found(t.Context()) }},
		{"all members but one go up", func() { s.allBut(last) }},
		{"the proxies go up", func() { s.refresh(w.Present, proxies...) }},
		{"the one left behind has ten hooks", s.goOn},
		{"it follows", s.follow},
		{"snapshots are taken", s.snapshots},
		{"the members go back", func() { s.refresh(w.Field, etcd) }},
		{"what the field's charm does not know", s.leftBehind},
		{"the proxies go back", func() { s.refresh(w.Field, proxies...) }},
		{"all but Juju's leader go up again", func() { s.allBut(s.leader()) }},
		{"it follows too", s.follow},
		{"snapshots are taken again", s.snapshots},
		{"the proxies go up again", func() { s.refresh(w.Present, proxies...) }},
		{"what users felt", s.judge},
	} {
		if !t.Run(part.name, func(t *testing.T) {
			s.t = t
			part.run()
		}) {
			return // the rest would only fail for the same reason
		}
	}
}

// found deploys the field's charm, and lets the users work until ctx ends: half of them directly,
// half through a proxy.
func (s *story) found(ctx context.Context) {
	require.NoError(s.t, s.Deploy(etcd, s.Field, s.Field.Path, nil))
	for range members {
		s.addUnit(etcd, model.NewMachine)
	}
	for _, name := range proxies {
		require.NoError(s.t, s.Deploy(name, s.Field, s.Field.Path, map[string]string{"role": "proxy"}))
		s.addUnit(name, model.NewMachine)
		s.relate("proxy", name+":upstream")
	}
	s.come(consumer, s.Consumer, "proxy", 0)
	s.come(client, s.Client, "db", 1)
	s.settle()
	s.keeper.know()
	require.Len(s.t, s.keeper.first, len(proxies)+2)
	for id, told := range s.keeper.first {
		require.NotEmpty(s.t, told, "relation %s", id)
	}
	s.keeper.members = s.memberIDs()
	require.Len(s.t, s.keeper.members, members)
	s.agree()
	for name, target := range map[string]load.Target{
		"direct": s.direct(),
		"proxy":  s.Beside(proxies[0] + "/0"),
	} {
		target.Rate, target.Reads, target.Patience = rate, true, Patience
		l, err := load.Start(ctx, target, "way-up-"+name)
		require.NoError(s.t, err)
		s.loads = append(s.loads, l)
	}
}

func (s *story) addUnit(app string, to int) {
	_, err := s.AddUnit(app, to)
	require.NoError(s.t, err)
}

func (s *story) relate(endpoint, with string) {
	_, err := s.Relate(etcd+":"+endpoint, with)
	require.NoError(s.t, err)
}

// come deploys a plain consumer to the machine of a member.
func (s *story) come(name string, charm Release, endpoint string, machine int) {
	require.NoError(s.t, s.Deploy(name, charm, charm.Path, nil))
	s.addUnit(name, machine)
	s.relate(endpoint, name+":etcd")
}

// allBut gives all members but one the present charm; that one is left behind.
func (s *story) allBut(unit string) {
	s.behind = unit
	s.refresh(s.Present, etcd)
}

func (s *story) leader() string {
	unit, err := s.Leader(etcd)
	require.NoError(s.t, err)
	return unit
}

// refresh gives applications another charm, one after the other.
func (s *story) refresh(to Release, apps ...string) {
	for _, app := range apps {
		var except []string
		if app == etcd && s.behind != "" {
			except = []string{s.behind}
		}
		require.NoError(s.t, s.Refresh(app, to, to.Path, except...))
		s.rest()
	}
}

// goOn lets the unit that is left behind live on: a member comes and goes, which every consumer is
// told, then a consumer does, a setting is rolled, time passes.
func (s *story) goOn() {
	before := len(s.Records(s.behind))
	s.addUnit(etcd, model.NewMachine)
	s.voters++
	s.rest()
	require.NoError(s.t, s.RemoveUnit(fmt.Sprintf("%s/%d", etcd, members), false))
	s.voters--
	s.rest()
	s.come(visitor, s.Client, "db", 2)
	s.rest()
	require.NoError(s.t, s.Unrelate(etcd+":db", visitor+":etcd"))
	s.rest()
	require.NoError(s.t, s.Configure(etcd, map[string]string{"snapshot_count": "20000"}, nil, 1))
	s.rest()
	for len(s.Records(s.behind)) < before+hooks {
		for _, unit := range s.Units("") {
			require.NoError(s.t, s.UpdateStatus(unit))
		}
		s.rest()
	}
	for _, r := range s.Records(s.behind)[before:] {
		assert.NotEqual(s.t, "upgrade-charm", r.Hook)
	}
}

// rest waits until all is at rest, and checks what must hold then.
func (s *story) rest() {
	s.settle()
	s.agree()
}

// follow makes the unit that is left behind take the charm of the others.
func (s *story) follow() {
	require.NoError(s.t, s.Follow(s.behind))
	s.behind = ""
	s.rest()
}

// snapshotService is the service that a unit's timer starts.
func snapshotService(unit string) string {
	return "etcd-charm-" + strings.ReplaceAll(unit, "/", "-") + "-snapshot"
}

// snapshots checks that each member's unit takes them by itself: there is one as soon as its timer
// is on.
func (s *story) snapshots() {
	for _, unit := range s.Units(etcd) {
		s.shell(unit, "systemctl show -p UnitFileState "+snapshotService(unit)+
			".timer | grep -x UnitFileState=enabled && systemctl is-active "+snapshotService(unit)+
			".timer")
		s.shell(unit, "systemctl start "+snapshotService(unit)+".service")
		s.eventually(unit+" has a snapshot", func() string {
			res, _, err := s.RunAction(s.t.Context(), unit, "list-snapshots", nil, s.Runner)
			if err != nil {
				return err.Error()
			}
			if count := fmt.Sprint(res.Results["count"]); count == "0" || res.Status != "completed" {
				return fmt.Sprintf("%s, %v", res.Message, res.Results)
			}
			return ""
		})
	}
}

// leftBehind checks what is on the machines that the field's charm does not know, and so leaves
// there: the timer goes on as long as its program is there, and does nothing once that is gone,
// some releases later.
func (s *story) leftBehind() {
	for _, unit := range s.Units(etcd) {
		name := snapshotService(unit)
		for _, then := range []string{
			"ls $program >/dev/null",
			"rm -r $(dirname $program)",
		} {
			s.shell(unit, "program=$(systemctl show -p ExecCondition "+name+
				".service | sed 's/.*test -x \\([^ ]*\\) .*/\\1/'); "+then)
			s.shell(unit, "systemctl start "+name+".service")
			s.eventually(name+" has ended", func() string {
				state := s.shell(unit, "systemctl show --value -p ActiveState "+name+".service")
				require.NotEqual(s.t, "failed", state, name)
				if state == "inactive" {
					return ""
				}
				return state
			})
		}
	}
	s.rest()
}

// shell runs a line as root on the machine of a unit.
func (s *story) shell(unit, line string) string {
	out, err := s.Shell(s.t.Context(), unit, line)
	require.NoError(s.t, err, "%s: %s: %s", unit, line, out)
	return strings.TrimSpace(out)
}

// judge ends the users' work and checks it.
func (s *story) judge() {
	for _, l := range s.loads {
		report, err := l.Stop(s.t.Context())
		s.t.Log(report)
		assert.NoError(s.t, err)
		assert.NotZero(s.t, report.Reads)
		assert.Zero(s.t, report.Failed, "the last error: %v", report.Last)
		assert.Zero(s.t, report.Lost)
	}
	s.loads = nil
}

// direct is the cluster as the first plain consumer sees it.
func (s *story) direct() load.Target {
	told := s.keeper.told(consumer, etcd+"/0")
	pair, err := tls.X509KeyPair([]byte(told["client_cert"]), []byte(told["client_key"]))
	require.NoError(s.t, err)
	roots := x509.NewCertPool()
	require.True(s.t, roots.AppendCertsFromPEM([]byte(told["client_ca"])))
	return load.Target{
		Endpoints: strings.Split(told["client_urls"], ","),
		TLS: &tls.Config{
			Certificates: []tls.Certificate{pair},
			RootCAs:      roots,
			MinVersion:   tls.VersionTLS12,
		},
	}
}

// memberIDs are the started voters by name, as etcd itself lists them.
func (s *story) memberIDs() map[string]string {
	c, err := s.direct().Client()
	require.NoError(s.t, err)
	defer c.Close()
	ids := map[string]string{}
	s.eventually("the members are listed", func() string {
		list, err := c.MemberList(s.t.Context())
		if err != nil {
			return err.Error()
		}
		for _, m := range list.Members {
			id := fmt.Sprintf("%x", m.ID)
			if m.IsLearner {
				id += ", a learner"
			}
			ids[m.Name] = id
		}
		return ""
	})
	return ids
}

// settle runs hooks until all is at rest: no hook is queued, and every unit reports that it is
// well.
func (s *story) settle() {
	s.eventually("all is at rest", func() string {
		require.NoError(s.t, s.Settle(s.t.Context(), s.Runner, members))
		var waits []string
		for app, status := range s.Status().Applications {
			for name, u := range status.Units {
				if says := u.Workload.Current + " " + u.Workload.Message; !s.rests(app, says) {
					waits = append(waits, name+": "+says)
					require.NoError(s.t, s.UpdateStatus(name))
				}
			}
		}
		slices.Sort(waits)
		return strings.Join(waits, "; ")
	})
}

// rests reports whether a unit with that status waits for nothing, or only for what does not come
// by itself.
func (s *story) rests(app, says string) bool {
	switch {
	case app == etcd && s.behind != "" && strings.HasPrefix(says, s.pending()):
		return true
	case app == etcd:
		return strings.HasPrefix(says, fmt.Sprintf("active %d/%d voters", s.voters, s.voters))
	case slices.Contains(proxies, app):
		return strings.HasPrefix(says, "active ") &&
			strings.Contains(says, fmt.Sprintf("%d/%d members", s.voters, s.voters))
	}
	return true
}

// pending is the raft leader's status while a unit is left behind that should restart before it.
func (s *story) pending() string {
	return "waiting restart pending: as raft leader this member goes last, after " + s.behind
}

// agree checks what must hold whenever all is at rest.
func (s *story) agree() {
	assert.Empty(s.t, s.keeper.disagreements(), "units of etcd do not tell the same")
	assert.Empty(s.t, s.keeper.look(), "credentials changed")
	now := s.memberIDs()
	assert.Len(s.t, now, s.voters)
	for name, id := range s.keeper.members {
		assert.Equal(s.t, id, now[name], "member %s was replaced", name)
	}
	for _, unit := range slices.Concat(s.Units(etcd), s.Units(proxies[0]), s.Units(proxies[1])) {
		app, _, _ := strings.Cut(unit, "/")
		from := s.Status().Applications[app].Units[unit].UpgradingFrom
		assert.Equal(s.t, unit == s.behind, from != "", "%s: is it left behind? it has %q", unit, from)
		s.eventually(unit+" is healthy", func() string {
			res, _, err := s.RunAction(s.t.Context(), unit, "health", nil, s.Runner)
			if err != nil {
				return err.Error()
			}
			if res.Results["health"] != "healthy" {
				return fmt.Sprintf("%v: %v", res.Results["health"], res.Results["stdout"])
			}
			return ""
		})
	}
}

// eventually waits until against finds nothing wrong any more.
func (s *story) eventually(what string, against func() string) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(Patience); ; <-tick.C {
		reason := against()
		if reason == "" {
			return
		}
		require.Less(s.t, time.Now(), deadline, "not %s: %s", what, reason)
		s.t.Logf("waits until %s: %s", what, reason)
	}
}
