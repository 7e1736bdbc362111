package fate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// dice makes choices from the bytes that it is given; when those are used up it always makes the
// first choice.
type dice struct{ left []byte }

func (d *dice) n(sides int) int {
	if len(d.left) == 0 {
		return 0
	}
	b := d.left[0]
	d.left = d.left[1:]
	return int(b) % sides
}

func (d *dice) yes() bool { return d.n(2) == 1 }

// often is true in seven of eight cases: with too many hostile values at once, most of them hide
// the rest.
func (d *dice) often() bool { return d.n(8) != 7 }

func one[T any](d *dice, of ...T) T { return of[d.n(len(of))] }

func known[T any](d *dice, v T) operator.Known[T] {
	if d.often() {
		return operator.Know(v)
	}
	return operator.Unknown[T]("failed")
}

var someLeaves = []operator.Issued{{Kind: operator.PeerLeaf, Serial: "1", End: 5}, {Kind: "other", Serial: "", End: -1 << 63}}

var someHooks = []hooks.Kind{
	hooks.UpdateStatus, hooks.Install, hooks.Start, hooks.ConfigChanged, hooks.UpgradeCharm, hooks.Stop, hooks.Remove, hooks.LeaderElected,
	hooks.RelationJoined, hooks.RelationChanged, hooks.RelationDeparted, hooks.RelationBroken, "unheard-of",
}

// hostile returns a hook, a model and a world that no Juju and no etcd may ever produce.
func hostile(d *dice) (operator.Event, operator.Model, operator.World) {
	e := operator.Event{Kind: one(d, someHooks...)}
	if d.n(6) == 5 {
		e.Departing = one(d, "etcd/0", "etcd/1")
	}
	c := settings(d.n(4))
	if d.n(12) == 11 {
		c.Role = one(d, operator.RoleProxy, operator.Role(""), operator.Role("other"))
	}
	if d.n(12) == 11 {
		c = operator.Config{}
	}
	address := operator.Address{Ingress: one(d, "10.0.0.10", "10.0.0.11", "::1", "", "name.example", "10.0.0.%")}
	address.All = []string{address.Ingress}
	m := operator.Model{
		UUID: "u", Unit: one(d, "etcd/0", "etcd/1", "etcd/2"), App: "etcd", Leader: known(d, d.often()), Config: c,
		Authority: known(d, one(d, authority(), authority(), authority(), nil)), PeerAddress: known(d, address), ClientAddress: known(d, address),
		Relations: map[string]operator.Known[[]databag.Relation]{
			"db":       known(d, one(d, nil, []databag.Relation{{ID: "db:5"}})),
			"proxy":    known(d, one(d, nil, []databag.Relation{{ID: "proxy:1"}}, []databag.Relation{{ID: "proxy:2"}, {ID: "proxy:1"}, {ID: "nonsense"}})),
			"upstream": known(d, one(d, nil, []databag.Relation{{ID: "upstream:1", Units: map[string]databag.Bag{"x/0": {"cluster": "a=https://,=,"}}}})),
		},
		Memory: known(d, one(d, operator.Memory{}, operator.Memory{
			Bags:     map[string]string{"proxy:9": "x", "cluster:0": "y", "": "", "nonsense": "z"},
			Deserted: map[string]operator.Desertion{"proxy:1": "missing", "": "x"}, Ports: "2379",
			Seen: operator.Seen{ClusterID: 0xc1, MemberID: 1, Term: 1, Index: 20, At: -9}, Healed: one[int64](d, 0, 1, -1<<62),
		})),
		Deserted: one(d, nil, nil, map[string]operator.OwnBag{"proxy:1": operator.BagNotFound, "nonsense": 9}),
	}
	if d.n(12) == 11 {
		m.ConfigProblem = "option port: no"
	}
	ids := []uint64{0xc1, 0xc1, 0xc1, 0xc2, 0}
	units := map[string]operator.Life{}
	unitBags := map[string]operator.UnitBag{}
	for i := range 4 {
		name := fmt.Sprintf("etcd/%d", i)
		if name == m.Unit || d.yes() {
			units[name] = one(d, operator.Alive, operator.Alive, operator.Alive, operator.Dying, operator.Life("odd"))
		}
		if name != m.Unit && d.yes() {
			unitBags[name] = operator.UnitBag{
				Schema: d.n(3), PeerURL: one(d, "", "https://"+host(10+i)+":2380", "rubbish\x00"), ClientURL: one(d, "https://"+host(10+i)+":2379", ""),
				ClusterID: one(d, ids...), MemberID: uint64(d.n(6)), Running: one(d, "", "x"), Leaves: one(d, nil, someLeaves),
			}
		}
	}
	m.Units = known(d, units)
	m.Cluster = known(d, operator.Cluster{
		RelationID: "cluster:0", UnitBags: one(d, unitBags, unitBags, unitBags, nil),
		AppBag: operator.AppBag{
			ClusterID: one(d, ids...), Ended: one[uint64](d, 0, 0, 0, 0xc1, 0xc2),
			Revoked: one(d, nil, []operator.Ended{{RelationID: "proxy:9", Period: 220}, {RelationID: "", Period: -1}}),
			Leaves:  one(d, nil, []operator.UnitLeaves{{Unit: "etcd/9", Leaves: someLeaves}, {Unit: m.Unit, Leaves: someLeaves[:1]}, {Unit: ""}}),
		},
	})
	return e, m, hostileWorld(d, m)
}

func hostileWorld(d *dice, m operator.Model) operator.World {
	release := one(d, releaseOf(0), releaseOf(0), releaseOf(1), releaseOf(2), "", "4.0.0-x", "rubbish")
	leaf := operator.Leaf{Present: d.often(), Due: !d.often(), SANs: []string{"10.0.0.10", "127.0.0.1", "::1", "localhost"}}
	w := operator.World{
		Carried: one(d, releaseOf(0), releaseOf(0), releaseOf(1), releaseOf(2), ""), Installed: release,
		Service: operator.Service{
			Kind:    one(d, operator.MemberService, operator.MemberService, operator.NoService, operator.ProxyService),
			Enabled: d.often(), Running: d.often(), Failing: !d.often(), Config: one(d, "", "x"), Release: release,
			PeerURL: one(d, "https://"+m.PeerAddress.Value.Ingress+":2380", ""),
		},
		Data: operator.Data{
			State: one(d, operator.OurData, operator.OurData, operator.NoData, operator.AlienData), ClusterID: one[uint64](d, 0xc1, 0xc1, 0xc1, 0xc2, 0), MemberID: uint64(1 + d.n(4)),
		},
		TLS:   operator.TLS{Trust: authority().Trust(), Revoked: one(d, operator.RevokedDigest(nil), ""), PeerList: d.often(), Issued: one(d, nil, someLeaves), Peer: leaf, Server: leaf, Admin: operator.Leaf{Present: true}},
		Reach: one(d, operator.Healthy, operator.Healthy, operator.Healthy, operator.NoQuorum, operator.Unreachable, operator.Absent), ClusterID: one[uint64](d, 0xc1, 0xc1, 0xc1, 0xc2, 0),
		Local:         operator.Local{Live: d.often(), Ready: d.often(), ClusterID: one[uint64](d, 0xc1, 0xc2), MemberID: uint64(d.n(5)), Voters: d.n(4)},
		Turn:          operator.Turn{Known: d.often(), Holder: one(d, m.Unit, m.Unit, "", "etcd/1", "etcd/9"), Unleased: !d.often()},
		WrittenConfig: one(d, "x", ""), WrittenInitial: operator.Initial{Token: one(d, "x", "")}, Period: 230, Now: 1,
	}
	for range d.n(6) {
		i := d.n(5)
		mem := operator.Member{
			ID: uint64(1 + i), Name: one(d, fmt.Sprintf("etcd%d", i), fmt.Sprintf("etcd%d", i), "", "alien", "etcd"), Learner: d.n(5) == 4,
			PeerURLs:   one(d, []string{"https://" + host(10+i) + ":2380"}, nil, []string{"https://10.0.0.10:2380", "x"}),
			ClientURLs: one(d, []string{"https://" + host(10+i) + ":2379"}, nil, []string{""}),
			Answers:    d.often(), Ready: d.often(), Leader: uint64(d.n(5)), Version: one(d, "3.7.3", "", "x.y"), Quota: int64(d.n(3)),
		}
		if !slices.ContainsFunc(w.Members, func(o operator.Member) bool { return o.ID == mem.ID }) {
			w.Members = append(w.Members, mem)
		}
	}
	if d.yes() { // a settled server
		w.Service.Config, w.WrittenConfig = "same", "same"
	}
	if d.n(4) == 3 {
		w.Tried = append(w.Tried, operator.Attempt{Step: operator.AwaitReady{}, Err: errors.New("no")}, operator.Attempt{Step: operator.TakeTurn{}, Err: errors.New("no")})
	}
	if d.n(4) == 3 {
		w.Tried = append(w.Tried, operator.Attempt{Step: operator.AwaitListed{ID: w.Data.MemberID}, Err: errors.New("no")})
	}
	if d.often() {
		w.Done = []operator.Step{operator.TakeTurn{}}
	}
	if d.n(3) == 2 {
		w.Data.Owner = operator.Owner{Model: one(d, "u", "u", "former"), Unit: one(d, m.Unit, "etcd/1", "rubbish\x00")}
	}
	if d.n(3) == 2 {
		w.Data.Term, w.Data.Index = one[uint64](d, 1, 0, 9), one[uint64](d, 5, 20, 1<<63)
		w.Service.Log = one(d, "", "tocommit(9) is out of range [lastIndex(3)]", "no space left on device", "flocked by another process")
		w.Local.Term, w.Local.Index = one[uint64](d, 0, 1), one[uint64](d, 0, 5, 25)
		w.Local.Twin = d.yes()
	}
	if d.yes() {
		hostileSpace(d, m, &w)
	}
	if d.n(6) == 5 {
		w.Work = []operator.Work{{
			WorkRequest: operator.WorkRequest{ID: "x", Kind: one(d, operator.TakeSnapshot, operator.VerifySnapshot, operator.Drill)},
			State:       one(d, operator.WorkRuns, operator.WorkRuns, operator.WorkFailed), Progress: one(d, "copy: 1 of 2 MiB", "", "check"),
		}}
		w.Schedule = one(d, operator.Schedule{}, operator.Schedule{Interval: 60})
	}
	return w
}

// hostileSpace fills the databases of a world.
func hostileSpace(d *dice, m operator.Model, w *operator.World) {
	full := operator.Alarm{MemberID: 2, Kind: "NOSPACE"}
	w.Alarms = one(d, nil, []operator.Alarm{full}, []operator.Alarm{full}, []operator.Alarm{full, {MemberID: 9, Kind: "NOSPACE"}}, []operator.Alarm{full, {MemberID: 1, Kind: "CORRUPT"}},
		[]operator.Alarm{{MemberID: 0, Kind: "CORRUPT"}})
	for range one(d, 0, 1, 2, 2) {
		var said []operator.Hash
		for _, mem := range w.Members {
			said = append(said, operator.Hash{MemberID: mem.ID, Hash: one[uint32](d, 1, 1, 1, 1, 2, 3)})
		}
		w.Hashes = append(w.Hashes, said)
	}
	low := m.Config.QuotaBytes / 2
	for i := range w.Members {
		mem := &w.Members[i]
		mem.PeerURLs = []string{"https://" + host(9+int(mem.ID)) + ":2380"}
		mem.Quota = one(d, low, low, m.Config.QuotaBytes)
		mem.DBSize = one(d, low, low, low/2, 0)
		mem.DBInUse, mem.Revision = one(d, mem.DBSize, mem.DBSize/2), int64(d.n(3)*1000)
	}
	for _, unit := range slices.Sorted(maps.Keys(m.Cluster.Value.UnitBags)) {
		unitBag := m.Cluster.Value.UnitBags[unit]
		unitBag.Quota, unitBag.Can = one(d, m.Config.QuotaBytes, m.Config.QuotaBytes, m.Config.QuotaBytes, low, 0), one(d, []string{"quota"}, []string{"quota"}, []string{"quota"}, nil)
		m.Cluster.Value.UnitBags[unit] = unitBag
	}
	w.Now, w.Began = 1_000_000, 1_000_000-int64(d.n(3)*60)
	if d.yes() {
		orderly(d, m, w)
	}
}

// orderly sets most of what could keep a member from taking a higher quota, or the leader from
// freeing space, to what it should be.
func orderly(d *dice, m operator.Model, w *operator.World) {
	w.Reach, w.ClusterID, w.Done, w.Tried = operator.Healthy, 0xc1, nil, nil
	w.Data = operator.Data{State: operator.OurData, ClusterID: 0xc1, MemberID: uint64(1 + m.Unit[len(m.Unit)-1] - '0')}
	w.Local = operator.Local{Live: true, Ready: true, ClusterID: 0xc1, MemberID: w.Data.MemberID, Voters: len(w.Members)}
	if d.often() {
		w.Turn = operator.Turn{Known: true}
	}
	w.Service.Running, w.Service.Failing, w.Service.Kind = true, false, operator.MemberService
	w.Installed, w.WrittenInitial = w.Carried, operator.Initial{}
	w.TLS.Peer.SANs, w.TLS.Server.SANs = []string{"10.0.0.10", "127.0.0.1", "::1", "localhost"}, []string{"10.0.0.10", "127.0.0.1", "::1", "localhost"}
	for i := range w.Members {
		mem := &w.Members[i]
		mem.Name, mem.Learner, mem.Answers, mem.Ready = fmt.Sprintf("etcd%d", mem.ID-1), false, true, d.n(20) != 1
		unit := fmt.Sprintf("etcd/%d", mem.ID-1)
		if life := m.Units.Value[unit]; life == "" && m.Units.Value != nil && d.often() {
			m.Units.Value[unit] = operator.Alive
		}
		if m.Cluster.Value.UnitBags != nil && d.often() {
			unitBag := m.Cluster.Value.UnitBags[unit]
			unitBag.PeerURL, unitBag.Quota, unitBag.Can = mem.PeerURLs[0], m.Config.QuotaBytes, []string{"quota"}
			m.Cluster.Value.UnitBags[unit] = unitBag
		}
	}
}

// hostileSeen returns some of the IDs that etcd listed before.
func hostileSeen(d *dice, w operator.World) []uint64 {
	var seen []uint64
	for _, mem := range w.Members {
		if d.often() {
			seen = append(seen, mem.ID)
		}
	}
	return seen
}

// lawless returns the rule that a plan breaks, as far as that can be judged from Decide's input; ""
// if none.
func lawless(e operator.Event, m operator.Model, w operator.World, p operator.Plan) string {
	if p.Step == nil {
		return lawlessWords(e, m, w, p)
	}
	if p.Bags != nil || p.Secrets != nil || p.NewAuthority || p.Claims || p.Ports != nil || p.Fail != nil || p.Memory != nil {
		return "publishes while a step is left"
	}
	for _, t := range w.Tried {
		if reflect.DeepEqual(t.Step, p.Step) {
			return "wants what was tried"
		}
	}
	j := judge{e, m, w}
	if why := j.upkeep(p.Step); why != "" {
		return why
	}
	switch step := p.Step.(type) {
	case operator.Mend:
		if len(w.Astray) == 0 {
			return "mends what is whole"
		}
	case operator.CheckDisk:
		if w.Service.Running || w.Data.State == operator.OurData || w.Disk.At != 0 || j.leaving() {
			return "measures a disk that is in use, or was measured"
		}
	case operator.RemoveMember:
		return j.removal(step)
	case operator.WriteMember:
		return j.writing(step)
	case operator.Start:
		if own, ok := j.own(); ok && w.Service.Kind != operator.ProxyService && w.Data.State == operator.NoData && own.Name != "" && w.Reach == operator.Healthy {
			return "starts a started member on an empty directory"
		}
		return j.starting()
	case operator.BreakTurn:
		if life := m.Units.Value[w.Turn.Holder]; step.Turn != w.Turn || !w.Turn.Unleased && (!m.Units.OK || life != "" || m.SeenTurn.Holder != w.Turn.Holder) {
			return "breaks the turn of a unit"
		}
	case operator.Restart:
		return cmp.Or(j.starting(), j.down(true))
	case operator.Stop:
		if step.Why == "its data is another unit's" && (!w.Local.Ready || w.Local.Twin || w.Data.ClusterID != w.ClusterID) {
			return "" // the vote is one too many, or there is none
		}
		return j.down(false)
	case operator.MoveAside:
		if w.Service.Running {
			return "moves data from under a running server"
		}
		if w.Data.State != operator.OurData {
			return "moves what is not ours"
		}
		if own, ok := j.own(); ok && w.Reach == operator.Healthy && w.ClusterID == w.Data.ClusterID && own.ID == w.Data.MemberID {
			return "moves a listed member's data"
		}
	case operator.AddLearner:
		switch {
		case w.Reach != operator.Healthy || w.Data.State != operator.NoData || !m.Units.OK || !m.Cluster.OK:
			return "joins blindly"
		case m.Cluster.Value.AppBag.ClusterID != w.ClusterID:
			return "joins what is not on record"
		case j.leaving():
			return "joins while it leaves"
		case slices.ContainsFunc(w.Members, func(mem operator.Member) bool { return mem.Learner }):
			return "adds a learner beside another"
		case slices.ContainsFunc(w.Alarms, func(a operator.Alarm) bool { return a.Kind == corrupt }):
			return "joins members of which one has bad data"
		}
	case operator.Promote:
		if own, ok := j.own(); !ok || own.ID != step.ID || !own.Learner {
			return "promotes what is no learner of ours"
		}
	case operator.Compact, operator.Defrag, operator.Disarm:
		return j.space(step)
	case operator.UpdateMember:
		if step.ID != w.Data.MemberID || step.PeerURL == "" {
			return "readdresses another"
		}
	}
	return ""
}

func lawlessWords(e operator.Event, m operator.Model, world operator.World, p operator.Plan) string {
	leader := m.Leader.OK && m.Leader.Value
	switch {
	case p.Status.Level == "" || p.Status.Message == "":
		return "says nothing"
	case p.NewAuthority && (!leader || !m.Cluster.OK):
		return "makes authorities without the leadership"
	case p.NewAuthority && m.Authority.Value != nil:
		return "makes authorities again"
	case p.Fail != nil && e.Kind != hooks.Stop && e.Kind != hooks.Remove && e.Departing != m.Unit:
		return "fails a hook that holds nobody"
	}
	for _, w := range p.Bags {
		if why := lawlessBag(m, world, w, p); why != "" {
			return why
		}
	}
	return ""
}

// lawlessBag returns the rule that a write breaks.
func lawlessBag(m operator.Model, world operator.World, w operator.BagWrite, p operator.Plan) string {
	ours := m.Cluster.OK && w.Relation == m.Cluster.Value.RelationID
	switch {
	case w.App && (!m.Leader.OK || !m.Leader.Value):
		return "writes the application's bag without the leadership"
	case !ours && !slices.ContainsFunc(append(slices.Clone(m.Relations["proxy"].Value), m.Relations["db"].Value...), func(r databag.Relation) bool { return r.ID == w.Relation }):
		return "writes a bag that is not visible"
	case ours && w.App:
		record, err := etcdcluster.DecodeApp(w.Relation, "etcd", w.Bag)
		was := m.Cluster.Value.AppBag
		if _, hostile := etcdcluster.DecodeApp(w.Relation, "etcd", etcdcluster.EncodeApp(was)); hostile != nil {
			return "" // no charm wrote that bag, and none could read it
		}
		if err != nil {
			return err.Error()
		}
		if was.ClusterID != 0 && was.ClusterID != was.Ended && record.ClusterID != was.ClusterID && record.Ended != record.ClusterID {
			return "puts another cluster on record"
		}
		if p.Claims != (p.NewAuthority || record.ClusterID != was.ClusterID || record.Ended != was.Ended) {
			return "claims what it does not record, or records what it does not claim"
		}
	case !ours:
		if is := toldBy(w.Bag); world.Reach != operator.Healthy || is.clientURLs == "" {
			return "publishes what it cannot know"
		}
		for part := range strings.SplitSeq(w.Bag["cluster"], ",") {
			if part != "" && !slices.ContainsFunc(world.Members, func(mem operator.Member) bool {
				return !mem.Learner && mem.Name != "" && len(mem.PeerURLs) > 0 && part == mem.Name+"="+mem.PeerURLs[0]
			}) {
				return "publishes " + part
			}
		}
	}
	return ""
}

// judge judges a step by what Decide was given.
type judge struct {
	e operator.Event
	m operator.Model
	w operator.World
}

// upkeep returns which rule of upkeep a step breaks: one member at a time.
func (j judge) upkeep(step operator.Step) string {
	streams := slices.ContainsFunc(j.w.Work, func(w operator.Work) bool {
		return w.Kind == operator.TakeSnapshot && w.State == operator.WorkRuns && w.Progress != "check"
	})
	ended := slices.ContainsFunc(j.w.Tried, func(t operator.Attempt) bool {
		_, is := t.Step.(operator.EndWork)
		return is
	})
	switch step.(type) {
	case operator.Restart, operator.Stop, operator.Uninstall, operator.Defrag:
		if streams && !ended {
			return "takes a member from a snapshot that streams"
		}
	case operator.EndWork:
		if !streams {
			return "ends what is in nobody's way"
		}
	}
	return ""
}

func (j judge) leaving() bool {
	return j.e.Kind == hooks.Stop || j.e.Kind == hooks.Remove || j.e.Departing == j.m.Unit || (j.m.Units.OK && j.m.Units.Value[j.m.Unit] == operator.Dying)
}

func (j judge) own() (operator.Member, bool) {
	for _, mem := range j.w.Members {
		if j.w.Data.State == operator.OurData {
			if mem.ID == j.w.Data.MemberID {
				return mem, true
			}
			continue
		}
		if mem.Name == strings.ReplaceAll(j.m.Unit, "/", "") {
			return mem, true
		}
		if slices.Contains(mem.PeerURLs, fmt.Sprintf("https://%s:%d", j.m.PeerAddress.Value.Ingress, j.m.Config.ManagementPort)) {
			return mem, true
		}
	}
	return operator.Member{}, false
}

// count returns the number of voters, and how many of them, without the given one, are ready.
func (j judge) count(without uint64) (voters, ready int) {
	for _, mem := range j.w.Members {
		if mem.Learner {
			continue
		}
		voters++
		local := j.w.Local
		here := local.Ready && local.MemberID == mem.ID && local.ClusterID == j.w.ClusterID
		if mem.ID != without && (here || mem.Answers && mem.Ready) {
			ready++
		}
	}
	return voters, ready
}

func (j judge) removal(step operator.RemoveMember) string {
	at := slices.IndexFunc(j.w.Members, func(mem operator.Member) bool { return mem.ID == step.ID })
	if at < 0 || j.w.Reach != operator.Healthy {
		return "removes whom nobody lists"
	}
	mem := j.w.Members[at]
	n, rest := j.count(step.ID)
	own, listed := j.own()
	if listed && own.ID == step.ID && step.Why != "its unit is gone" { // the step may give this reason for another unit's data too
		switch {
		case !mem.Learner && n == 1:
			return "removes the only voter"
		case !mem.Learner && rest < quorum(n-1):
			return "removes itself and the quorum"
		case !j.leaving() && j.w.Data.State != operator.NoData && !j.older() && !strings.HasPrefix(j.w.Service.Log, "tocommit") &&
			!j.accused(step.ID) && (!mem.Learner || j.m.Memory.Value.Learning.MemberID != step.ID):
			return "removes itself for nothing"
		case !j.leaving() && rest < quorum(n):
			return "gives up what may be on no other"
		case !j.leaving() && j.w.Data.State != operator.NoData && (!j.m.Memory.OK || j.m.Memory.Value.Healed == 1 && j.w.Now < daySeconds):
			return "gives its data up twice"
		}
		return ""
	}
	unit := strings.Replace(mem.Name, "etcd", "etcd/", 1)
	switch {
	case !slices.Contains(j.m.Seen, step.ID):
		return "removes whom goal-state cannot know"
	case !j.m.Units.OK:
		return "removes by a goal-state that failed"
	case mem.Name != "" && j.m.Units.Value[unit] != "":
		return "removes the member of a unit that lives"
	case mem.Name == "" && !step.Unstarted:
		return "removes a member that may have started meanwhile"
	case !mem.Learner && rest < quorum(n-1):
		return "removes the quorum"
	}
	return ""
}

// accused reports whether CORRUPT names the member, and a majority of all voters, not counting it,
// has twice answered with the same hash.
func (j judge) accused(id uint64) bool {
	named := slices.ContainsFunc(j.w.Alarms, func(a operator.Alarm) bool { return a.Kind == corrupt && a.MemberID == id })
	n, _ := j.count(id)
	return named && n >= 3 && j.agreed(id)
}

// agreed reports whether a majority of all voters, not counting id, has twice answered with the same
// hash.
func (j judge) agreed(id uint64) bool {
	n, _ := j.count(id)
	if len(j.w.Hashes) != 2 {
		return false
	}
	most := 0
	for hash := range uint32(4) {
		same := 0
		for _, mem := range j.w.Members {
			says := func(h operator.Hash) bool { return h.MemberID == mem.ID && h.Hash == hash }
			if mem.ID != id && !mem.Learner && slices.ContainsFunc(j.w.Hashes[0], says) && slices.ContainsFunc(j.w.Hashes[1], says) {
				same++
			}
		}
		most = max(most, same)
	}
	return most >= quorum(n)
}

// older reports whether the data ends before the point that the unit remembers.
func (j judge) older() bool {
	d, seen := j.w.Data, j.m.Memory.Value.Seen
	return d.State == operator.OurData && seen.ClusterID == d.ClusterID && seen.MemberID == d.MemberID && d.Index != 0 &&
		(d.Index < seen.Index || d.Term < seen.Term)
}

// starting judges a start with the data on disk.
func (j judge) starting() string {
	d, record := j.w.Data, j.m.Cluster.Value.AppBag
	local := j.w.Local
	caughtUp := local.ClusterID == d.ClusterID && local.MemberID == d.MemberID && local.Index >= 20 && local.Term >= 1
	switch {
	case d.State != operator.OurData || j.w.Service.Kind == operator.ProxyService:
	case d.Owner != (operator.Owner{}) && d.Owner != (operator.Owner{Model: "u", Unit: j.m.Unit}) && (!j.m.Cluster.OK || record.Ended != d.ClusterID):
		return "starts the data of another unit"
	case j.older() && !caughtUp:
		return "starts data of a former time"
	}
	return ""
}

func (j judge) writing(step operator.WriteMember) string {
	if step.Server.Release != j.w.Installed {
		return "writes a release that is not installed"
	}
	if !step.Server.Initial.New {
		return ""
	}
	record := j.m.Cluster.Value.AppBag
	for _, unitBag := range j.m.Cluster.Value.UnitBags {
		if unitBag.ClusterID != 0 && unitBag.ClusterID != record.Ended {
			return "founds though a unit names a cluster"
		}
	}
	switch {
	case !j.m.Leader.OK || !j.m.Leader.Value:
		return "founds without the leadership"
	case j.w.Reach != operator.Absent:
		return "founds though somebody may be there"
	case !j.m.Units.OK || !j.m.Cluster.OK || !j.m.Authority.OK || j.m.Authority.Value == nil || !j.m.PeerAddress.OK || !j.m.ClientAddress.OK:
		return "founds blindly"
	case j.m.ConfigProblem != "":
		return "founds with options that are none"
	case record.ClusterID != 0 && record.ClusterID != record.Ended:
		return "founds though a cluster is on record"
	case j.w.Data.State != operator.NoData || j.leaving():
		return "founds on data, or while it leaves"
	case step.Server.Initial.Token == "":
		return "founds without a token"
	}
	return ""
}

// down judges a step that takes our own member down.
func (j judge) down(restart bool) string {
	own, listed := j.own()
	if j.w.Service.Kind == operator.NoService && j.m.Config.Role == operator.RoleProxy {
		return "" // a unit that becomes a proxy, beside another unit's data
	}
	if j.w.Service.Kind == operator.ProxyService || !listed || own.Learner || j.w.Data.State != operator.OurData || j.w.Reach != operator.Healthy || j.w.ClusterID != j.w.Data.ClusterID || !j.w.Service.Running {
		return ""
	}
	n, rest := j.count(own.ID)
	turn := j.w.Turn.Holder == j.m.Unit && slices.Contains(j.w.Done, operator.Step(operator.TakeTurn{})) || restart && j.raises(own)
	switch {
	case rest >= quorum(n) && turn:
		return ""
	case restart && own.Answers && own.Ready && rest == n-1 && n <= 2 && turn:
		return ""
	case restart && j.w.Service.Failing: // it is down already
		return ""
	case !restart && j.leaving() && (n == 1 || j.m.Cluster.Value.AppBag.Ended == j.w.Data.ClusterID):
		return ""
	case !restart && j.leaving() && j.m.Units.OK && !j.othersLive(own.ID):
		return ""
	case rest >= quorum(n):
		return "goes down without the turn"
	}
	return fmt.Sprintf("goes down, and of %d voters only %d others are ready", n, rest)
}

// raised reports whether alarm NOSPACE is raised, and no other.
func (j judge) raised() bool {
	return len(j.w.Alarms) > 0 && !slices.ContainsFunc(j.w.Alarms, func(a operator.Alarm) bool { return a.Kind != "NOSPACE" })
}

// raises reports whether our member may take a higher quota without the turn. No unit holds the
// turn or can take it, and all voters are ready. All their units stay and have heard of that quota,
// and none with a lower ID has yet to take it.
func (j judge) raises(own operator.Member) bool {
	want := j.m.Config.QuotaBytes
	n, rest := j.count(own.ID)
	if !j.raised() || !j.w.Turn.Known || j.w.Turn.Holder != "" || !own.Answers || own.Quota >= want || rest != n-1 {
		return false
	}
	for _, mem := range j.w.Members {
		unit := strings.Replace(mem.Name, "etcd", "etcd/", 1)
		unitBag := j.m.Cluster.Value.UnitBags[unit]
		told := unitBag.Quota == want && slices.Contains(unitBag.Can, "quota")
		switch {
		case mem.Learner, mem.ID < own.ID && mem.Answers && mem.Quota < want:
			return false
		case mem.ID != own.ID && mem.Name != "" && (!told || j.m.Units.Value[unit] == operator.Dying || j.m.Units.Value[unit] == ""):
			return false
		}
	}
	return true
}

// space judges a step that frees space or disarms the alarm.
func (j judge) space(step operator.Step) string {
	leads := j.m.Leader.OK && j.m.Leader.Value
	switch step := step.(type) {
	case operator.Disarm:
		if step.Alarm.Kind == corrupt {
			listed := func(mem operator.Member) bool { return mem.ID == step.Alarm.MemberID }
			unnamed := step.Alarm.MemberID == 0
			if unnamed && !j.agreed(0) {
				return "takes CORRUPT back that names no member, and no majority agrees"
			}
			if j.w.Reach != operator.Healthy || slices.ContainsFunc(j.w.Members, listed) || !slices.Contains(j.w.Alarms, step.Alarm) {
				return "takes CORRUPT back of a member that is there"
			}
			return ""
		}
		for _, mem := range j.w.Members {
			if !mem.Learner && mem.Answers && mem.Quota > 0 && mem.DBSize*10 >= mem.Quota*9 {
				return "takes the alarm back without room"
			}
		}
		if !slices.Contains(j.w.Alarms, step.Alarm) || step.Alarm.Kind != "NOSPACE" {
			return "takes back what is not raised"
		}
	case operator.Compact:
		if !leads || !j.raised() || step.Revision < 1 {
			return "compacts without need"
		}
	case operator.Defrag:
		n, rest := j.count(step.ID)
		all, _ := j.count(0)
		if !leads || !j.raised() || j.w.Turn.Holder != "" {
			return "defragments without need"
		}
		if rest < quorum(n) && (n > 2 || all == 0) {
			return "defragments a member that is needed"
		}
	}
	return ""
}

// othersLive reports whether a voter of another unit in goal-state is listed.
func (j judge) othersLive(own uint64) bool {
	return slices.ContainsFunc(j.w.Members, func(mem operator.Member) bool {
		return mem.ID != own && !mem.Learner && j.m.Units.Value[strings.Replace(mem.Name, "etcd", "etcd/", 1)] != ""
	})
}

// decideOnce generates a case, and returns what is wrong with Decide's plan for it.
func decideOnce(t *testing.T, bytes []byte) {
	t.Helper()
	d := &dice{bytes}
	e, m, w := hostile(d)
	m.Seen, m.SeenTurn = hostileSeen(d, w), w.Turn
	again := &dice{bytes}
	_, m2, w2 := hostile(again)
	m2.Seen, m2.SeenTurn = hostileSeen(again, w2), w2.Turn
	p := operator.Decide(e, m, w)
	require.True(t, reflect.DeepEqual(m, m2) && reflect.DeepEqual(w, w2), "what Decide is given it leaves as it is")
	if problem := lawless(e, m, w, p); problem != "" {
		t.Fatalf("%s: %v\nevent %+v\nmodel %+v\nworld %+v", problem, p.Step, e, m, w)
	}
	require.True(t, reflect.DeepEqual(p, operator.Decide(e, m, w)), "the same twice")
}

func FuzzDecide(f *testing.F) {
	f.Add([]byte{})
	r := rand.New(rand.NewPCG(7, 7))
	for range 64 {
		f.Add(roll(r))
	}
	f.Fuzz(decideOnce)
}

func roll(r *rand.Rand) []byte {
	out := make([]byte, 400)
	for i := range out {
		out[i] = byte(r.IntN(256))
	}
	return out
}

func TestDecideHostile(t *testing.T) {
	t.Parallel()
	n := 40_000
	switch {
	case *long > 0:
		n = 500_000
	case raced:
		n = 4_000
	}
	r := rand.New(rand.NewPCG(*first, 1))
	for range n {
		decideOnce(t, roll(r))
	}
	t.Logf("%d cases", n)
}
