package juju

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// ErrUnconcerned is returned by Observe in a hook that has no news for this unit.
var ErrUnconcerned = errors.New("the hook is for members only")

// Env is what the charm knows without asking a tool.
type Env struct {
	Event     operator.Event // in a relation's own -broken hook, the model leaves that relation out
	Unit      string         // JUJU_UNIT_NAME, "etcd/0"
	ModelUUID string         // JUJU_MODEL_UUID
	Zone      string         // JUJU_AVAILABILITY_ZONE; empty where the cloud has none
	// the machine's own, for certificates; it need not resolve, and may be empty
	Hostname string
	Secrets  bool // this Juju has the hook tool secret-get
}

// Observe reads the whole model. seen are the members that etcd listed before. If a tool fails or
// its answer makes no sense, that part is Unknown, with the reason. Observe itself fails only when
// its context has ended.
//
// The number of calls depends on the number of units, never on the number of consumers. The
// consumers' bags are not read: a digest in Model.Memory says what was last written there. Only a
// consumer that has no units left costs a call.
func Observe(ctx context.Context, tools Tools, env Env, seen []uint64) (operator.Model, error) {
	o := observer{tools: tools, env: env}
	o.model = operator.Model{
		Relations: map[string]operator.Known[[]databag.Relation]{},
		UUID:      env.ModelUUID, Unit: env.Unit, App: appOf(env.Unit),
		Seen: seen, Secrets: env.Secrets, Zone: zoneOf(env.Zone),
	}
	o.config(ctx)
	o.memory(ctx)
	if o.unconcerned() {
		return operator.Model{}, ErrUnconcerned
	}
	o.model.Leader = read[bool](ctx, &o, "is-leader")
	o.peer = o.relations(ctx, operator.PeerEndpoint)
	o.model.PeerAddress = o.address(ctx, operator.PeerEndpoint)
	o.model.ClientAddress = o.address(ctx, operator.ClientEndpoint)
	if o.isProxy() {
		why := "not asked for with role proxy"
		o.others(operator.RoleMember, why)
		o.model.Units = operator.Unknown[map[string]operator.Life](why)
		o.model.Cluster = operator.Unknown[operator.Cluster](why)
		o.model.Authority = operator.Unknown[*pki.Authority](why)
		o.endpoints(ctx, operator.RoleProxy)
	} else {
		// A proxy whose options cannot be used does not know that it is a proxy.
		o.others(operator.RoleProxy, cmp.Or(o.model.ConfigProblem, "not asked for with role member"))
		// read before the units: a unit on record that is not among them is gone, not newer than
		// the list
		app, err := o.application(ctx)
		o.units(ctx)
		o.endpoints(ctx, operator.RoleMember)
		o.authority(ctx, o.cluster(ctx, app, err))
	}
	if ctx.Err() != nil {
		return operator.Model{}, fmt.Errorf("cannot read the model: %w", context.Cause(ctx))
	}
	return o.model, nil
}

// zoneOf returns the zone if other units can read it in a bag, else "".
func zoneOf(name string) string {
	const longest = 100 // no cloud's zone name is half as long
	if len(name) > longest || !utf8.ValidString(name) ||
		strings.ContainsFunc(name, unicode.IsControl) {
		return ""
	}
	return name
}

// observer fills a model, part by part.
type observer struct {
	tools Tools
	env   Env
	model operator.Model
	peer  operator.Known[[]string]   // the IDs of the peer relation, one or none
	goals *operator.Known[goalState] // goal-state's answer, once it has been asked
}

// read asks one tool for one value.
func read[T any](ctx context.Context, o *observer, tool string, args ...string) operator.Known[T] {
	var answer T
	if err := query(ctx, o.tools, &answer, tool, args...); err != nil {
		return operator.Unknown[T](err.Error())
	}
	return operator.Know(answer)
}

func (o *observer) config(ctx context.Context) {
	raw := read[map[string]any](ctx, o, "config-get")
	if !raw.OK {
		o.model.ConfigProblem = "cannot read the options: " + raw.Why
		return
	}
	o.model.Config, o.model.ConfigProblem = operator.ParseConfig(raw.Value)
}

// memory reads this unit's memory.
func (o *observer) memory(ctx context.Context) {
	var state map[string]any
	if err := query(ctx, o.tools, &state, "state-get"); err != nil {
		o.model.Memory = operator.Unknown[operator.Memory](
			"cannot read what this unit remembers: " + err.Error())
		return
	}
	o.model.Memory = operator.Know(decodeState(state))
}

// wasMember reports whether this unit has ever written a peer bag, as only members do. Such a unit
// stays a member until it leaves, whatever the option role says now.
func (o *observer) wasMember() bool {
	for id := range o.model.Memory.Value.Bags {
		if strings.HasPrefix(id, operator.PeerEndpoint+":") {
			return true
		}
	}
	return false
}

// isProxy reports whether this unit is a proxy, as far as Juju's answers show.
func (o *observer) isProxy() bool {
	return o.model.Config.Role == operator.RoleProxy && !o.wasMember()
}

// unconcerned reports whether the hook tells a proxy about its peers. A proxy needs nothing from
// them, and each unit that comes or goes runs two hooks or more on every other. A proxy does handle
// the hooks in which it leaves itself.
func (o *observer) unconcerned() bool {
	e := o.env.Event
	return o.model.Memory.OK && o.isProxy() &&
		e.Endpoint == operator.PeerEndpoint && e.Departing != o.env.Unit
}

// others records why the relations of the endpoints for another role are not known.
func (o *observer) others(role operator.Role, why string) {
	for _, at := range operator.Endpoints() {
		if at.For == role && at.Read != operator.Peers {
			o.model.Relations[at.Name] = operator.Unknown[[]databag.Relation](why)
		}
	}
}

// endpoints reads the relations of the endpoints that a role uses.
func (o *observer) endpoints(ctx context.Context, role operator.Role) {
	for _, at := range operator.Endpoints() {
		if at.For == role && at.Read != operator.Peers {
			o.model.Relations[at.Name] = o.endpoint(ctx, at)
		}
	}
}

// endpoint reads one endpoint's relations, as much of each as its row in the table says.
func (o *observer) endpoint(
	ctx context.Context, at operator.Endpoint,
) operator.Known[[]databag.Relation] {
	unknown := operator.Unknown[[]databag.Relation]
	ids := o.relations(ctx, at.Name)
	switch {
	case !ids.OK:
		return unknown(ids.Why)
	case at.Encode != nil && !o.model.Memory.OK:
		// Without the memory of what was published, the consumers count as unknown: both what is
		// gone and what is right depend on it.
		return unknown(o.model.Memory.Why)
	}
	out := make([]databag.Relation, 0, len(ids.Value))
	for _, id := range ids.Value {
		relation := databag.Relation{ID: id, Endpoint: at.Name}
		if at.Read != operator.IDs {
			var err error
			if relation, err = o.relation(ctx, at, id); err != nil {
				return unknown(err.Error())
			}
		}
		if at.Encode != nil && o.deserted(ctx, id) {
			if o.model.Deserted == nil {
				o.model.Deserted = map[string]operator.OwnBag{}
			}
			o.model.Deserted[id] = ownBag(ctx, o.tools, id, o.env.Unit)
		}
		out = append(out, relation)
	}
	return operator.Know(out)
}

// deserted reports whether this unit has heard the last unit of a consumer relation depart, now or
// earlier. It asks for the remaining units only in a departed hook. No answer counts as no
// remaining units, because only another answer (ownBag's) ends a relation.
func (o *observer) deserted(ctx context.Context, id string) bool {
	e := o.env.Event
	if e.RelationID != id || e.RemoteUnit == "" {
		return o.model.Memory.Value.Deserted[id] != ""
	}
	if e.Kind != hooks.RelationDeparted {
		return false
	}
	joined := read[[]string](ctx, o, "relation-list", "-r", id)
	return !slices.ContainsFunc(joined.Value, func(unit string) bool { return unit != e.RemoteUnit })
}

// ownBag asks for our own bag in a relation, to learn whether the relation exists. It asks for one
// setting only: the whole bag holds the consumer's key, which would then be in a hook tool's
// answer.
func ownBag(ctx context.Context, tools Tools, id, unit string) operator.OwnBag {
	var address any
	err := query(ctx, tools, &address, "relation-get", "-r", id, "ingress-address", unit)
	switch {
	case err == nil:
		return operator.BagThere
	case noRelation(err):
		return operator.BagNotFound
	}
	return operator.BagUnclear
}

// goalState is the part of goal-state's answer that we read; the rest may list a thousand
// consumers. goal-state never lists peer relations.
type goalState struct {
	Units     map[string]goal           `json:"units"`
	Relations map[string]jsontext.Value `json:"relations"` // by endpoint: its applications and units
}

// goal is one unit in goal-state.
type goal struct {
	Status string `json:"status"`
}

// goalState asks goal-state once in a hook.
func (o *observer) goalState(ctx context.Context) operator.Known[goalState] {
	if o.goals == nil {
		answer := read[goalState](ctx, o, "goal-state")
		o.goals = &answer
	}
	return *o.goals
}

// goalsOf returns the units that goal-state lists at an endpoint; none if that is not known.
func (o *observer) goalsOf(ctx context.Context, endpoint string) map[string]goal {
	var goals map[string]goal
	if raw := o.goalState(ctx).Value.Relations[endpoint]; json.Unmarshal(raw, &goals, lenient) != nil {
		return nil
	}
	return goals
}

// units accepts goal-state only if it names this unit: Juju 4.0 may answer with an error or an
// empty map when a unit vanishes meanwhile.
func (o *observer) units(ctx context.Context) {
	answer := o.goalState(ctx)
	if !answer.OK {
		o.model.Units = operator.Unknown[map[string]operator.Life](answer.Why)
		return
	}
	units := make(map[string]operator.Life, len(answer.Value.Units))
	for unit, goal := range answer.Value.Units {
		if appOf(unit) != o.model.App {
			continue
		}
		units[unit] = operator.Alive
		if goal.Status == string(operator.Dying) {
			units[unit] = operator.Dying
		}
	}
	if _, ok := units[o.env.Unit]; !ok {
		o.model.Units = operator.Unknown[map[string]operator.Life]("goal-state does not name this unit")
		return
	}
	o.model.Units = operator.Know(units)
}

// relations returns the IDs of an endpoint's relations, without the one that is breaking.
func (o *observer) relations(ctx context.Context, endpoint string) operator.Known[[]string] {
	answer := read[[]string](ctx, o, "relation-ids", endpoint)
	if !answer.OK {
		return answer
	}
	ids := slices.DeleteFunc(answer.Value, func(id string) bool {
		return o.env.Event.Kind == hooks.RelationBroken && id == o.env.Event.RelationID
	})
	slices.Sort(ids)
	return operator.Know(ids)
}

// cluster reads the peer relation and returns its application bag, which was read before or could
// not be read. The relation is Unknown unless every bag in it could be read: an unread bag may name
// a cluster.
func (o *observer) cluster(ctx context.Context, app databag.Bag, err error) databag.Bag {
	var cluster operator.Cluster
	if err == nil {
		cluster, err = o.readCluster(ctx, app)
	}
	if err == nil &&
		(cluster.AppBag.ClusterID == 0 || cluster.AppBag.ClusterID == cluster.AppBag.Ended) {
		// Decide might found a cluster now, and no unit may found in a hook in which a tool has
		// failed.
		err = o.failure()
	}
	if err != nil {
		o.model.Cluster = operator.Unknown[operator.Cluster](err.Error())
		switch {
		case errors.Is(err, etcdcluster.ErrOldSchema):
			o.model.Cluster.Stuck = operator.TooOld
		case errors.Is(err, etcdcluster.ErrNewSchema):
			o.model.Cluster.Stuck = operator.TooNew
		}
		return app
	}
	o.model.Cluster = operator.Know(cluster)
	return app
}

// failure returns the first part of the model that is not known, apart from the certificate
// authorities.
func (o *observer) failure() error {
	m := o.model
	for _, part := range []struct {
		ok  bool
		why string
	}{
		{m.Leader.OK, m.Leader.Why},
		{m.Units.OK, m.Units.Why},
		{m.PeerAddress.OK, m.PeerAddress.Why},
		{m.ClientAddress.OK, m.ClientAddress.Why},
	} {
		if !part.ok {
			return errors.New(part.why)
		}
	}
	for _, at := range operator.Endpoints() {
		if relations := m.Relations[at.Name]; at.For == operator.RoleMember &&
			at.Read != operator.Peers && !relations.OK {
			return errors.New(relations.Why)
		}
	}
	return nil
}

// application reads the peer relation's application bag; with an error it returns nil.
func (o *observer) application(ctx context.Context) (databag.Bag, error) {
	ids := o.peer
	switch {
	case !ids.OK:
		return nil, errors.New(ids.Why)
	case len(ids.Value) == 0: // always the case in install
		return nil, errors.New("the peer relation is not visible yet")
	case len(ids.Value) > 1:
		return nil, errors.New("there is more than one peer relation")
	}
	return o.appBag(ctx, ids.Value[0], o.model.App)
}

func (o *observer) readCluster(ctx context.Context, app databag.Bag) (operator.Cluster, error) {
	out := operator.Cluster{RelationID: o.peer.Value[0], UnitBags: map[string]operator.UnitBag{}}
	var err error
	if out.AppBag, err = etcdcluster.DecodeApp(out.RelationID, "application "+o.model.App, app); err != nil {
		return operator.Cluster{}, err
	}
	if !o.model.Units.OK {
		return operator.Cluster{}, fmt.Errorf("cannot tell whose bags to read: %s", o.model.Units.Why)
	}
	for _, unit := range slices.SortedFunc(maps.Keys(o.model.Units.Value), databag.CompareUnits) {
		if unit == o.env.Unit {
			continue
		}
		unitBag, err := o.unitBag(ctx, out.RelationID, unit)
		if err != nil {
			return operator.Cluster{}, err
		}
		out.UnitBags[unit] = unitBag
	}
	return out, nil
}

// unitBag reads one unit's peer bag. goal-state also names units that have not entered the relation
// yet: their bag is empty.
func (o *observer) unitBag(ctx context.Context, relationID, unit string) (operator.UnitBag, error) {
	bag, err := o.bag(ctx, relationID, unit)
	if err != nil {
		return operator.UnitBag{}, err
	}
	return etcdcluster.DecodeUnit(relationID, unit, bag)
}

// bag reads one unit's bag; it is empty if the unit is not in the relation.
func (o *observer) bag(ctx context.Context, relationID, unit string) (databag.Bag, error) {
	bag := databag.Bag{}
	err := query(ctx, o.tools, &bag, "relation-get", "-r", relationID, "-", unit)
	if err != nil && !notThere(err) {
		return nil, fmt.Errorf("cannot read the bag of %s in relation %s: %w", unit, relationID, err)
	}
	return bag, nil
}

// relation reads one relation with the bags of the units that joined, and with those of the
// applications if the endpoint's row says so.
func (o *observer) relation(
	ctx context.Context, at operator.Endpoint, id string,
) (databag.Relation, error) {
	out := databag.Relation{ID: id, Endpoint: at.Name, Units: map[string]databag.Bag{}}
	joined := read[[]string](ctx, o, "relation-list", "-r", id)
	if !joined.OK {
		return out, errors.New(joined.Why)
	}
	if o.env.Event.RelationID == id {
		out.App = o.env.Event.RemoteApp
	}
	for _, unit := range living(joined.Value, o.goalsOf(ctx, at.Name)) {
		if o.env.Event.Kind == hooks.RelationDeparted &&
			o.env.Event.RelationID == id && o.env.Event.RemoteUnit == unit {
			continue
		}
		bag, err := o.bag(ctx, id, unit)
		if err != nil {
			return out, err
		}
		out.Units[unit] = bag
		out.App = appOf(unit)
	}
	if at.Read != operator.UnitsAndApps {
		return out, nil
	}
	var err error
	if out.App != "" { // the application is not known before a unit has joined
		out.RemoteApp, err = o.appBag(ctx, id, out.App)
	}
	if err == nil && o.model.Leader.Value {
		out.LocalApp, err = o.appBag(ctx, id, o.model.App)
	}
	return out, err
}

// appBag reads an application's bag.
func (o *observer) appBag(ctx context.Context, relationID, app string) (databag.Bag, error) {
	bag := databag.Bag{}
	if err := query(ctx, o.tools, &bag, "relation-get", "-r", relationID, "--app", "-", app); err != nil {
		return nil, err
	}
	if bag == nil { // "null"
		bag = databag.Bag{}
	}
	return bag, nil
}

// living returns the joined units that goal-state lists and that stay. If there are none, it
// returns those that are listed, and if there are none of these either, all. On Juju 4.0
// relation-list still names a unit that is gone, and relation-get still returns its last bag, which
// may name members that are gone too. A unit that leaves hears no more of the others. goal-state
// may not list the units of an application in another model.
func living(joined []string, goals map[string]goal) []string {
	listed := func(unit string) bool { _, ok := goals[unit]; return ok }
	stays := func(unit string) bool {
		return listed(unit) && goals[unit].Status != string(operator.Dying)
	}
	for _, fits := range []func(string) bool{stays, listed} {
		if slices.ContainsFunc(joined, fits) {
			return slices.DeleteFunc(slices.Clone(joined), func(unit string) bool { return !fits(unit) })
		}
	}
	return joined
}

// appOf returns the application of a unit.
func appOf(unit string) string {
	app, _, _ := strings.Cut(unit, "/")
	return app
}
