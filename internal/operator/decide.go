package operator

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

// handlers run in this order for every event, until one wants a step. A handler that needs
// no step writes what it wants published.
var handlers = []func(look, *Plan){
	unit,
	mend,
	disk,
	certificates,
	freeTurn,
	leave,
	cluster,
	leftovers,
	reap,
	disarmGone,
	roll, // it gives back a turn that none of those above needs
	space,
	fence,
	schedule,
	rememberForeign,
	endpoints,
	tell,
	rememberAge, // last: it adds to a memory that is written anyway
}

// endpoints runs the handlers of those endpoints that this unit's role uses.
func endpoints(l look, p *Plan) {
	role := l.role()
	for _, at := range Endpoints() {
		if at.Handle != nil && at.For == role {
			l.forget(p, at)
			at.Handle(l, p)
		}
	}
}

// Decide answers the event, the model and the world with at most one step, and with what to publish
// once no step is left.
func Decide(e Event, m Model, w World) Plan {
	l := lookAt(e, m, w)
	if w.Mute != "" {
		return unseen(l)
	}
	p := Plan{}
	for _, handle := range handlers {
		handle(l, &p)
		if p.Step != nil {
			return Plan{Step: p.Step, Status: Status{Maintenance, p.Step.String()}}
		}
	}
	finish(l, &p)
	return p
}

// finish adds the record and all that is shown but not done.
func finish(l look, p *Plan) {
	if was := l.m.Cluster.Value.Record; p.record != nil {
		p.Bags = slices.Insert(p.Bags, 0, l.writeRecord(*p.record))
		p.Claims = p.record.ClusterID != was.ClusterID || p.record.Ended != was.Ended
	}
	p.Claims = p.Claims || p.NewAuthority
	report := examine(l, p.Reasons)
	p.States = report.States
	if l.leaving() { // it shows its leave only
		p.Reasons = inOrder(p.Reasons)
		p.Status = Status{levelOf(p.Reasons), line(p.Reasons, "")}
	} else {
		p.Reasons, p.Status = report.Reasons, StatusOf(report)
	}
	if p.held {
		p.Fail = errors.New(texts(p.Reasons))
	}
	if l.Kind != hooks.UpdateStatus && l.w.Service.Running {
		p.Version, _, _ = strings.Cut(l.w.Service.Release, "-")
	}
}

// want asks for a step, and reports whether the plan now has one. A step that failed in this pass
// is not asked for again: the failure becomes a reason, and the handlers go on.
func (p *Plan) want(l look, s Step) bool {
	s = l.first(s)
	if tried, err := l.tried(s); tried {
		p.say(because(stepFailed, s.String(), err.Error()))
	} else if p.Step == nil {
		p.Step = s
	}
	return p.Step != nil
}

// tried reports whether a step did not succeed in this pass, and why.
func (l look) tried(s Step) (bool, error) {
	for _, t := range l.w.Tried {
		if reflect.TypeOf(t.Step) == reflect.TypeOf(s) && t.Step.String() == s.String() {
			return true, t.Err
		}
	}
	return false, nil
}

// say adds a reason.
func (p *Plan) say(r Reason) { p.Reasons = append(p.Reasons, r) }

// look is everything that a handler may read and must not change.
type look struct {
	Event
	m *Model
	w *World

	should *Server // our member's settings as they should be, without those of a first start
	sum    string  // the digest of should

	refusal Reason // why the options must not be applied; none: they may be

	consumers Known[[]consumer]
	providers []etcdproxy.Requires // what each relation upstream says, in the model's order
}

// reasons are those of all handlers, even of those after the first that wants a step.
func (l look) reasons() []Reason {
	p := Plan{}
	for _, handle := range handlers {
		p.Step = nil
		handle(l, &p)
	}
	return p.Reasons
}

// lookAt gathers a look, with what most handlers ask for.
func lookAt(e Event, m Model, w World) look {
	l := look{Event: e, m: &m, w: &w}
	s := l.settings()
	s.Release = l.release(ServerID, s.on)
	l.should, l.sum = &s, s.Digest()
	if whose := l.strangers(); whose != "" {
		l.w.Data.State, l.w.Data.Problem = ForeignData, whose
		s = l.settings()
		l.sum = s.Digest()
	}
	l.refusal = l.refuse()
	l.consumers = consumersOf(&m)
	for _, rel := range m.Relations[upstreamEndpoint].Value {
		l.providers = append(l.providers, etcdproxy.NewRequires(rel, w.Now))
	}
	return l
}

// memberName is the name of a unit's etcd member. It has no "/": the cluster string of the
// etcd-proxy interface uses it so.
func memberName(unit string) string { return strings.ReplaceAll(unit, "/", "") }

// unitOf is the unit that a member belongs to: by its name or, while it has none, by the peer URL
// in a unit's bag.
func (l look) unitOf(mem Member) (string, bool) {
	if number, ok := strings.CutPrefix(mem.Name, l.m.App); ok && number != "" && strings.Trim(number, "0123456789") == "" {
		return l.m.App + "/" + number, true
	}
	if slices.Contains(mem.PeerURLs, l.should.PeerURL) {
		return l.m.Unit, true
	}
	for unit, word := range l.m.Cluster.Value.Words {
		if word.PeerURL != "" && slices.Contains(mem.PeerURLs, word.PeerURL) {
			return unit, true
		}
	}
	return "", false
}

// label names a member for people: its unit if known, else its URL.
func (l look) label(mem Member) string {
	if u, ok := l.unitOf(mem); ok {
		return u
	}
	return strings.Join(mem.PeerURLs, ",")
}

// leaving reports whether our unit is on its way out.
func (l look) leaving() bool {
	return l.Kind == hooks.Stop || l.Kind == hooks.Remove || (l.Departing != "" && l.Departing == l.m.Unit) ||
		(l.m.Units.OK && l.m.Units.Value[l.m.Unit] == Dying)
}

// leader reports whether we are known to be the leader.
func (l look) leader() bool { return l.m.Leader.OK && l.m.Leader.Value }

// usable reports whether the options may be applied: they are valid, fit what the unit already is, and nothing that they will
// meet refuses them.
func (l look) usable() bool { return l.refusal.none() }

// role is what the unit is: the role of what is installed or of the data. Before there is any it is
// what the option says, or "" if an option cannot be used.
func (l look) role() Role {
	switch {
	case l.w.Data.State == OurData || l.w.Service.Kind == MemberService:
		return RoleMember
	case l.w.Service.Kind == ProxyService:
		return RoleProxy
	case l.m.ConfigProblem != "":
		return ""
	}
	return l.m.Config.Role
}

// named is the cluster that the application is known to have; 0 is none, or that it ended in order.
func (l look) named() uint64 {
	r := l.m.Cluster.Value.Record
	if r.ClusterID != 0 && r.ClusterID != r.Ended {
		return r.ClusterID
	}
	for _, unit := range slices.Sorted(maps.Keys(l.m.Cluster.Value.Words)) {
		// Who has stopped for good holds nothing for others any more, and may speak of a cluster that ended long ago.
		if word := l.m.Cluster.Value.Words[unit]; word.ClusterID != 0 && word.ClusterID != r.Ended && !word.Stopped && !l.isReplaced(word.ClusterID) {
			return word.ClusterID
		}
	}
	// Our own word says what our data is of by now.
	if lost := l.m.Memory.Value.Unrecorded; lost != r.Ended && !l.isReplaced(lost) && l.w.Data.State == NoData && l.leader() {
		return lost
	}
	return 0
}

// inCluster reports whether the world's member list is that of our cluster, linearizably read.
func (l look) inCluster() bool {
	id := l.named()
	if id == 0 && l.w.Data.State == OurData {
		id = l.w.Data.ClusterID
	}
	return l.w.Reach == Healthy && id != 0 && l.w.ClusterID == id
}

// self is our own line of the member list: by the identity in our data, else by peer URL, else by name.
func (l look) self() (Member, bool) {
	for _, mem := range l.w.Members {
		if l.w.Data.State == OurData && mem.ID == l.w.Data.MemberID {
			return mem, true
		}
	}
	if l.w.Data.State == OurData {
		return Member{}, false
	}
	for _, mem := range l.w.Members {
		if slices.Contains(mem.PeerURLs, l.should.PeerURL) || mem.Name == l.should.Name {
			return mem, true
		}
	}
	return Member{}, false
}

// voters are the members that count for the quorum.
func (l look) voters() []Member {
	var out []Member
	for _, mem := range l.w.Members {
		if !mem.Learner {
			out = append(out, mem)
		}
	}
	return out
}

// ready counts the ready voters other than the member with the given ID (0: all of them).
func (l look) ready(except uint64) int {
	n := 0
	for _, mem := range l.voters() {
		if mem.ID != except && l.serves(mem) {
			n++
		}
	}
	return n
}

// serves reports whether a member is ready. Of ourselves we know it even if nobody finds us where we are listed.
func (l look) serves(mem Member) bool {
	local := l.w.Local
	return (mem.Answers && mem.Ready) || (local.Ready && local.MemberID == mem.ID && local.ClusterID == l.w.ClusterID)
}

// notReady names the voters that are not ready, other than ourselves.
func (l look) notReady() []Member {
	var out []Member
	own, _ := l.self()
	for _, mem := range l.voters() {
		if mem.ID != own.ID && (!mem.Answers || !mem.Ready) {
			out = append(out, mem)
		}
	}
	return out
}

// others are the units other than ours that are alive, sorted.
func (l look) others() []string {
	var out []string
	for unit, life := range l.m.Units.Value {
		if unit != l.m.Unit && life == Alive {
			out = append(out, unit)
		}
	}
	slices.Sort(out)
	return out
}

// unit is the unit's own life: what it is, and that the carried release is installed beside what runs.
func unit(l look, p *Plan) {
	if !l.usable() {
		p.say(l.refusal)
	}
	if l.w.Installed != l.w.Carried && !l.leaving() {
		p.want(l, Install{l.w.Carried})
	}
}
