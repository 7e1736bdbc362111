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
var handlers = []func(view, *Plan){
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
	disarmUnnamed,
	roll, // it gives back a turn that none of those above needs
	space,
	fence,
	schedule,
	rememberForeign,
	endpoints,
	publishToConsumers,
	rememberAge, // last: it adds to a memory that is written anyway
}

// endpoints runs the handlers of those endpoints that this unit's role uses.
func endpoints(v view, p *Plan) {
	role := v.role()
	for _, at := range Endpoints() {
		if at.Handle != nil && at.For == role {
			v.forget(p, at)
			at.Handle(v, p)
		}
	}
}

// Decide answers the event, the model and the world with at most one step, and with what to publish
// once no step is left.
func Decide(e Event, m Model, w World) Plan {
	v := newView(e, m, w)
	if w.Mute != "" {
		return unseen(v)
	}
	p := Plan{}
	for _, handle := range handlers {
		handle(v, &p)
		if p.Step != nil {
			return Plan{Step: p.Step, Status: Status{Maintenance, p.Step.String()}}
		}
	}
	finish(v, &p)
	return p
}

// finish adds the record and all that is shown but not done.
func finish(v view, p *Plan) {
	if was := v.m.Cluster.Value.AppBag; p.record != nil {
		p.Bags = slices.Insert(p.Bags, 0, v.writeRecord(*p.record))
		p.Claims = p.record.ClusterID != was.ClusterID || p.record.Ended != was.Ended
	}
	p.Claims = p.Claims || p.NewAuthority
	report := examine(v, p.Reasons)
	p.States = report.States
	if v.leaving() { // it shows its leave only
		p.Reasons = inOrder(p.Reasons)
		p.Status = Status{levelOf(p.Reasons), line(p.Reasons, "")}
	} else {
		p.Reasons, p.Status = report.Reasons, StatusOf(report)
	}
	if p.held {
		p.Fail = errors.New(texts(p.Reasons))
	}
	if v.Kind != hooks.UpdateStatus && v.w.Service.Running {
		p.Version, _, _ = strings.Cut(v.w.Service.Release, "-")
	}
}

// want asks for a step, and reports whether the plan now has one. A step that failed in this pass
// is not asked for again: the failure becomes a reason, and the handlers go on.
func (p *Plan) want(v view, s Step) bool {
	s = v.first(s)
	if tried, err := v.tried(s); tried {
		p.say(because(stepFailed, s.String(), err.Error()))
	} else if p.Step == nil {
		p.Step = s
	}
	return p.Step != nil
}

// tried reports whether a step did not succeed in this pass, and why.
func (v view) tried(s Step) (bool, error) {
	for _, t := range v.w.Tried {
		if reflect.TypeOf(t.Step) == reflect.TypeOf(s) && t.Step.String() == s.String() {
			return true, t.Err
		}
	}
	return false, nil
}

// say adds a reason.
func (p *Plan) say(r Reason) { p.Reasons = append(p.Reasons, r) }

// view is everything that a handler may read and must not change.
type view struct {
	Event
	m *Model
	w *World

	desired       *Server // our member's settings as they should be, without those of a first start
	desiredDigest string  // Server.Digest of desired

	refusal Reason // why the options must not be applied; none: they may be

	consumers Known[[]consumer]
	providers []etcdproxy.Requires // what each relation upstream says, in the model's order
}

// reasons are those of all handlers, even of those after the first that wants a step.
func (v view) reasons() []Reason {
	p := Plan{}
	for _, handle := range handlers {
		p.Step = nil
		handle(v, &p)
	}
	return p.Reasons
}

// newView gathers a look, with what most handlers ask for.
func newView(e Event, m Model, w World) view {
	v := view{Event: e, m: &m, w: &w}
	s := v.settings()
	s.Release = v.release(ServerID, s.on)
	v.desired, v.desiredDigest = &s, s.Digest()
	if whose := v.foreignOwner(); whose != "" {
		v.w.Data.State, v.w.Data.Problem = ForeignData, whose
		s = v.settings()
		v.desiredDigest = s.Digest()
	}
	v.refusal = v.refuse()
	v.consumers = consumersOf(&m)
	for _, rel := range m.Relations[upstreamEndpoint].Value {
		v.providers = append(v.providers, etcdproxy.NewRequires(rel, w.Now))
	}
	return v
}

// memberName is the name of a unit's etcd member. It has no "/": the cluster string of the
// etcd-proxy interface uses it so.
func memberName(unit string) string { return strings.ReplaceAll(unit, "/", "") }

// unitOf is the unit that a member belongs to: by its name or, while it has none, by the peer URL
// in a unit's bag.
func (v view) unitOf(mem Member) (string, bool) {
	if number, ok := strings.CutPrefix(mem.Name, v.m.App); ok &&
		number != "" && strings.Trim(number, "0123456789") == "" {
		return v.m.App + "/" + number, true
	}
	if slices.Contains(mem.PeerURLs, v.desired.PeerURL) {
		return v.m.Unit, true
	}
	for unit, unitBag := range v.m.Cluster.Value.UnitBags {
		if unitBag.PeerURL != "" && slices.Contains(mem.PeerURLs, unitBag.PeerURL) {
			return unit, true
		}
	}
	return "", false
}

// label names a member for people: its unit if known, else its URL.
func (v view) label(mem Member) string {
	if u, ok := v.unitOf(mem); ok {
		return u
	}
	return strings.Join(mem.PeerURLs, ",")
}

// leaving reports whether our unit is on its way out.
func (v view) leaving() bool {
	return v.Kind == hooks.Stop || v.Kind == hooks.Remove ||
		(v.Departing != "" && v.Departing == v.m.Unit) ||
		(v.m.Units.OK && v.m.Units.Value[v.m.Unit] == Dying)
}

// leader reports whether we are known to be the leader.
func (v view) leader() bool { return v.m.Leader.OK && v.m.Leader.Value }

// usable reports whether the options may be applied: they are valid, they fit what the unit already
// is, and neither the machine nor the data refuses them.
func (v view) usable() bool { return v.refusal.none() }

// role is what the unit is: the role of what is installed or of the data. Before there is any it is
// what the option says, or "" if an option cannot be used.
func (v view) role() Role {
	switch {
	case v.w.Data.State == OurData || v.w.Service.Kind == MemberService:
		return RoleMember
	case v.w.Service.Kind == ProxyService:
		return RoleProxy
	case v.m.ConfigProblem != "":
		return ""
	}
	return v.m.Config.Role
}

// named is the cluster that the application is known to have; 0 is none, or that it ended in order.
func (v view) named() uint64 {
	r := v.m.Cluster.Value.AppBag
	if r.ClusterID != 0 && r.ClusterID != r.Ended {
		return r.ClusterID
	}
	for _, unit := range slices.Sorted(maps.Keys(v.m.Cluster.Value.UnitBags)) {
		// A unit that has stopped for good holds nothing for others, and its bag may name a cluster
		// that ended long ago.
		if unitBag := v.m.Cluster.Value.UnitBags[unit]; unitBag.ClusterID != 0 &&
			unitBag.ClusterID != r.Ended && !unitBag.Stopped && !v.isReplaced(unitBag.ClusterID) {
			return unitBag.ClusterID
		}
	}
	// Of our own unit the memory counts, not the bag.
	if lost := v.m.Memory.Value.Unrecorded; lost != r.Ended && !v.isReplaced(lost) &&
		v.w.Data.State == NoData && v.leader() {
		return lost
	}
	return 0
}

// inCluster reports whether the world's member list is that of our cluster, linearizably read.
func (v view) inCluster() bool {
	id := v.named()
	if id == 0 && v.w.Data.State == OurData {
		id = v.w.Data.ClusterID
	}
	return v.w.Reach == Healthy && id != 0 && v.w.ClusterID == id
}

// self is our own line of the member list: by the identity in our data, else by peer URL, else by
// name.
func (v view) self() (Member, bool) {
	for _, mem := range v.w.Members {
		if v.w.Data.State == OurData && mem.ID == v.w.Data.MemberID {
			return mem, true
		}
	}
	if v.w.Data.State == OurData {
		return Member{}, false
	}
	for _, mem := range v.w.Members {
		if slices.Contains(mem.PeerURLs, v.desired.PeerURL) || mem.Name == v.desired.Name {
			return mem, true
		}
	}
	return Member{}, false
}

// voters are the members that count for the quorum.
func (v view) voters() []Member {
	var out []Member
	for _, mem := range v.w.Members {
		if !mem.Learner {
			out = append(out, mem)
		}
	}
	return out
}

// ready counts the ready voters other than the member with the given ID (0: all of them).
func (v view) ready(except uint64) int {
	n := 0
	for _, mem := range v.voters() {
		if mem.ID != except && v.serves(mem) {
			n++
		}
	}
	return n
}

// serves reports whether a member is ready. We know that of ourselves even if nobody finds us where
// we are listed.
func (v view) serves(mem Member) bool {
	local := v.w.Local
	return (mem.Answers && mem.Ready) ||
		(local.Ready && local.MemberID == mem.ID && local.ClusterID == v.w.ClusterID)
}

// notReady names the voters that are not ready, other than ourselves.
func (v view) notReady() []Member {
	var out []Member
	own, _ := v.self()
	for _, mem := range v.voters() {
		if mem.ID != own.ID && (!mem.Answers || !mem.Ready) {
			out = append(out, mem)
		}
	}
	return out
}

// others are the units other than ours that are alive, sorted.
func (v view) others() []string {
	var out []string
	for unit, life := range v.m.Units.Value {
		if unit != v.m.Unit && life == Alive {
			out = append(out, unit)
		}
	}
	slices.Sort(out)
	return out
}

// unit handles the unit itself: what it is, and that the carried release is installed beside the
// running one.
func unit(v view, p *Plan) {
	if !v.usable() {
		p.say(v.refusal)
	}
	if v.w.Installed != v.w.Carried && !v.leaving() {
		p.want(v, Install{v.w.Carried})
	}
}
