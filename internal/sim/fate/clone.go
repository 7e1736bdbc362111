package fate

import (
	"maps"
	"slices"
)

// Clone returns a copy that is independent from then on. No hook may be running: a coroutine cannot
// be copied.
func (s *Sim) Clone() *Sim {
	out := *s
	units := map[*unit]*unit{nil: nil}
	out.units = nil
	for _, u := range s.units {
		if u.hook != nil {
			panic("a hook is running")
		}
		c := u.clone()
		units[u] = c
		out.units = append(out.units, c)
	}
	out.leader = units[s.leader]
	out.groups = nil
	for _, g := range s.groups {
		c := *g
		c.removed, c.members = maps.Clone(g.removed), nil
		c.space.alarms, c.accused = slices.Clone(g.space.alarms), slices.Clone(g.accused)
		for _, m := range g.members {
			copied := *m
			copied.owner = units[m.owner]
			c.members = append(c.members, &copied)
		}
		out.groups = append(out.groups, &c)
	}
	out.records, out.relations = slices.Clone(s.records), slices.Clone(s.relations)
	out.named, out.ended = maps.Clone(s.named), maps.Clone(s.ended)
	out.replaced = maps.Clone(s.replaced)
	return &out
}

func (u *unit) clone() *unit {
	c := *u
	c.words = slices.Clone(u.words)
	c.consumers = maps.Clone(u.consumers)
	c.scopes, c.heard = maps.Clone(u.scopes), maps.Clone(u.heard)
	if u.disk.data != nil {
		d := *u.disk.data
		c.disk.data = &d
	}
	c.disk.aside = slices.Clone(u.disk.aside)
	c.disk.work, c.disk.prepared, c.disk.kept =
		slices.Clone(u.disk.work), slices.Clone(u.disk.prepared), slices.Clone(u.disk.kept)
	return &c
}
