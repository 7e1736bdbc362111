package model

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/juju/charm/v12/hooks"
)

var (
	errPermission = errors.New("permission denied")
	errNotFound   = errors.New("relation unit not found")
	errVanished   = errors.New("relation not found")
)

// relationArg resolves -r, or the hook's own relation.
func (k *call) relationArg() (*relation, *unitRelation, error) {
	id := k.rel
	if id == "" {
		id = k.Hook.RelationKey()
	}
	if id == "" {
		return nil, nil, usagef("no relation id specified")
	}
	n, err := relationNumber(id)
	if err != nil {
		return nil, nil, usagef("invalid value %q for option -r: invalid relation id", id)
	}
	if k.u.ghosts[n] != "" {
		return nil, nil, errVanished
	}
	rel, ur := k.m.relations[n], k.u.rels[n]
	if rel == nil || ur == nil || !rel.has(k.u.app.name) || ur.broken && !k.isBroken(rel) {
		return nil, nil, usagef("invalid value %q for option -r: relation not found", id)
	}
	return rel, ur, nil
}

// viewBag returns a bag with the hook's own pending writes on top.
func (c *Context) viewBag(rel *relation, owner string) map[string]string {
	base := map[string]string{}
	if b := rel.bags[owner]; b != nil {
		base = b.values
	}
	return overlay(base, c.bags[bagKey{rel.id, owner}])
}

func relationGet(k *call) error {
	if err := k.atMost(2); err != nil {
		return err
	}
	rel, ur, err := k.relationArg()
	if err != nil {
		return err
	}
	key := ""
	if len(k.args) > 0 && k.args[0] != "-" {
		key = k.args[0]
	}
	who := k.Hook.RemoteUnit
	if len(k.args) > 1 {
		who = k.args[1]
	}
	app, _ := k.flags.GetBool("app")
	if who == "" {
		if who = k.Hook.RemoteApp; who == "" || !app && k.Hook.RemoteUnit == "" && !k.isAppChange() {
			return usagef("no unit id specified")
		}
		app = true
	}
	switch {
	case app:
		who = appOf(who)
	case !strings.Contains(who, "/"):
		return usagef("expected unit name, got application name %q", who)
	}
	values, err := k.readBag(rel, ur, who)
	if err != nil {
		return err
	}
	if key == "" {
		return k.write(values)
	}
	if value, ok := values[key]; ok {
		return k.write(value)
	}
	if k.format == "smart" {
		return nil
	}
	return k.write(nil)
}

// isAppChange reports whether the hook is for a change of the remote
// application's bag: relation-get then reads that bag.
func (c *Context) isAppChange() bool {
	return c.Hook.Endpoint != "" && c.Hook.RemoteUnit == "" && c.Hook.RemoteApp != ""
}

func (k *call) readBag(rel *relation, ur *unitRelation, who string) (map[string]string, error) {
	isApp := !strings.Contains(who, "/")
	switch {
	case who == k.u.name:
		return k.viewBag(rel, who), nil
	case who == k.u.app.name:
		if !rel.peer && k.u.app.leader != k.u.name {
			return nil, errPermission
		}
		return k.viewBag(rel, who), nil
	case appOf(who) != rel.remote(k.u.app.name).app.name:
		return nil, errPermission
	}
	if cached, ok := ur.cache[who]; ok {
		return cached, nil
	}
	if other, ok := k.others[bagKey{rel.id, who}]; ok {
		return other, nil
	}
	b := rel.bags[who]
	if b == nil {
		return nil, errNotFound
	}
	values := maps.Clone(b.values)
	if _, member := ur.members[who]; member || isApp {
		ur.cache[who] = values
	} else {
		k.others[bagKey{rel.id, who}] = values
	}
	return values, nil
}

func relationSet(k *call) error {
	rel, _, err := k.relationArg()
	if errors.Is(err, errVanished) {
		return fmt.Errorf("cannot read relation settings: %w", err)
	}
	if err != nil {
		return err
	}
	path, _ := k.flags.GetString("file")
	values, err := k.settings(path)
	if err != nil {
		return err
	}
	owner := k.u.name
	if app, _ := k.flags.GetBool("app"); app {
		if k.u.app.leader != k.u.name {
			return errors.New("cannot write relation settings")
		}
		owner = k.u.app.name
		k.asLeader = true
	}
	at := bagKey{rel.id, owner}
	if k.bags[at] == nil {
		k.bags[at] = map[string]*string{}
	}
	for key, value := range values {
		k.record.Bytes += len(key) + len(value)
		if value == "" {
			k.bags[at][key] = nil
		} else {
			k.bags[at][key] = &value
		}
	}
	return nil
}

func relationIDs(k *call) error {
	name := k.Hook.Endpoint
	if len(k.args) > 0 {
		name = k.args[0]
	}
	if name == "" {
		return usagef("no endpoint name specified")
	}
	if err := k.atMost(1); err != nil {
		return err
	}
	ids := []string{}
	for _, rel := range k.u.app.rels {
		if e, _ := rel.side(k.u.app.name); e.Name != name {
			continue
		}
		if ur := k.u.rels[rel.id]; ur != nil && !ur.broken &&
			(k.m.Rules.BrokenListed || !k.breaks(rel, ur)) {
			ids = append(ids, rel.key(k.u.app.name))
		}
	}
	for _, id := range k.u.ghosts {
		if endpoint, _, _ := strings.Cut(id, ":"); endpoint == name {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return k.write(ids)
}

// breaks reports whether a relation that ends has no member left for the unit. In the hook of the
// last member's departure it still has one.
func (c *Context) breaks(rel *relation, ur *unitRelation) bool {
	last := c.Hook.Kind == hooks.RelationDeparted && c.Hook.Relation == rel.id
	return !rel.peer && rel.parts() && len(ur.members) == 0 && !last
}

func relationList(k *call) error {
	rel, ur, err := k.relationArg()
	if errors.Is(err, errVanished) {
		return k.write([]string{}) // from the agent's own memory
	}
	if err != nil {
		return err
	}
	if app, _ := k.flags.GetBool("app"); app {
		return k.write(rel.remote(k.u.app.name).app.name)
	}
	names := slices.SortedFunc(maps.Keys(ur.members), compareUnitNames)
	if names == nil {
		names = []string{}
	}
	return k.write(names)
}

func relationModelGet(k *call) error {
	if _, _, err := k.relationArg(); err != nil {
		return err
	}
	return k.write(map[string]string{"uuid": k.m.uuid})
}

// goals is one object of goal-state's answer, as JSON.
type goals struct {
	text []byte
	apps map[*application]bool // the applications whose units are listed

	at      int64  // the Unix seconds that stamped shows
	stamped string // the last time as text: many units have the same one
}

func (g *goals) add(name, status string, since time.Time) {
	g.text = appendKey(g.text, name)
	g.text = append(g.text, `{"status":"`...)
	g.text = append(g.text, status...)
	g.text = append(g.text, `","since":"`...)
	if at := since.Unix(); g.stamped == "" || g.at != at {
		g.at, g.stamped = at, since.UTC().Format("2006-01-02 15:04:05Z")
	}
	g.text = append(g.text, g.stamped...)
	g.text = append(g.text, `"}`...)
}

func (g *goals) addUnits(us []*unit) {
	for _, u := range us {
		status := u.workload.Current
		if u.life == Dying {
			status = string(Dying)
		}
		g.add(u.name, status, u.workload.Since)
	}
}

// appendKey appends the key of a JSON object's next value; no name in a model needs escaping.
func appendKey(text []byte, name string) []byte {
	if len(text) > 0 {
		text = append(text, ',')
	}
	return append(append(append(text, '"'), name...), `":`...)
}

// goalState lists the units that exist or will exist: those of the own application, and those of
// the non-peer relations. Every hook lists all of them, and there may be thousands, so the answer
// is built as text.
func goalState(k *call) error {
	if err := k.atMost(0); err != nil {
		return err
	}
	var own goals
	own.addUnits(unitsOf(k.u.app))
	related := map[string]*goals{}
	for _, rel := range k.u.app.rels {
		if rel.peer {
			continue
		}
		e, _ := rel.side(k.u.app.name)
		if related[e.Name] == nil {
			related[e.Name] = &goals{apps: make(map[*application]bool, len(k.u.app.rels))}
		}
		g, remote := related[e.Name], rel.remote(k.u.app.name).app
		if g.apps[remote] {
			continue // the application is related twice
		}
		g.apps[remote] = true
		status := "joined"
		switch {
		case rel.life == Dying:
			status = string(Dying)
		case rel.suspended:
			status = "suspended"
		}
		g.add(remote.name, status, rel.since)
		g.addUnits(unitsOf(remote))
	}
	var relations []byte
	for _, name := range slices.Sorted(maps.Keys(related)) {
		relations = append(append(append(appendKey(relations, name), '{'), related[name].text...), '}')
	}
	return k.writeJSON(fmt.Appendf(nil, `{"units":{%s},"relations":{%s}}`, own.text, relations))
}

var networkFlags = []string{"bind-address", "primary-address", "ingress-address", "egress-subnets"}

// networkGet describes the one address of the unit's machine, and the address at which others reach
// it.
func networkGet(k *call) error {
	if len(k.args) == 0 {
		return usagef("no arguments specified")
	}
	name := k.args[0]
	meta := k.u.app.charm.Meta()
	_, bound := meta.ExtraBindings[name]
	if _, ok := meta.CombinedRelations()[name]; !ok && !bound && name != "juju-info" {
		return fmt.Errorf("no network config found for binding %q", name)
	}
	addr, ingress := k.u.machine.address, k.m.reached(k.u.machine, name)
	cidr := addr + "/32"
	if strings.HasPrefix(addr, "127.") {
		cidr = "127.0.0.0/8"
	}
	for _, flag := range networkFlags {
		if on, _ := k.flags.GetBool(flag); !on {
			continue
		}
		switch flag {
		case "egress-subnets":
			return k.write([]string{ingress + "/32"})
		case "ingress-address":
			return k.write(ingress)
		}
		return k.write(addr)
	}
	shown := map[string]string{"hostname": "", "value": addr, "cidr": cidr}
	iface := map[string]any{"mac-address": "", "interface-name": "lo", "addresses": []any{shown}}
	if k.format != "json" { // old names, which Juju keeps only in YAML
		shown["address"], iface["macaddress"], iface["interfacename"] = addr, "", "lo"
	}
	return k.write(map[string]any{
		"bind-addresses":    []any{iface},
		"ingress-addresses": []string{ingress},
		"egress-subnets":    []string{ingress + "/32"},
	})
}
