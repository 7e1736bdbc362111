package operator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/juju/charm/v12/hooks"
)

// What hooks log for people: each step before it is done, with what it changes, and one line at the
// end of the hook.

// maxChange bounds, in characters, one value in a change.
const maxChange = 60

// StepLog is what is logged of a step before it is done, as slog takes it: "do", and "change" if
// there is a before and an after.
func StepLog(s Step, w World) []any {
	attrs := []any{"do", s.String()}
	if c := change(s, w); c != "" {
		attrs = append(attrs, "change", c)
	}
	return attrs
}

// change says what is before a step and what will be after it; "" if the step's own words say all.
func change(s Step, w World) string {
	members, voters := len(w.Members), 0
	for _, m := range w.Members {
		if !m.Learner {
			voters++
		}
	}
	switch s := s.(type) {
	case Install:
		if w.Installed == "" {
			return ""
		}
		return becomes("release", w.Installed, s.Release)
	case WriteMember:
		return settingsChange(w.Service.Settings, s.Server.Env())
	case Restart:
		return becomes("release", w.Service.Release, cmp.Or(w.WrittenRelease, w.Service.Release))
	case AddLearner:
		return fmt.Sprintf("members %d → %d", members, members+1)
	case Promote:
		return fmt.Sprintf("voters %d → %d", voters, voters+1)
	case RemoveMember:
		i := slices.IndexFunc(w.Members, func(m Member) bool { return m.ID == s.ID })
		if i >= 0 && w.Members[i].Learner {
			return fmt.Sprintf("members %d → %d", members, members-1)
		}
		return fmt.Sprintf("voters %d → %d", voters, voters-1)
	case UpdateMember:
		for _, m := range w.Members {
			if m.ID == s.ID {
				return becomes("peer URL", strings.Join(m.PeerURLs, ","), s.PeerURL)
			}
		}
	}
	return ""
}

// becomes is "what before → after"; "" if nothing changes.
func becomes(what, before, after string) string {
	if before == after {
		return ""
	}
	return fmt.Sprintf("%s %s → %s", what, brief(before), brief(after))
}

func brief(value string) string { return clip(singleLine(cmp.Or(value, "none")), maxChange) }

// settingsChange names the settings that differ between the running server and the next one, by
// etcd's environment variables. If the running server's settings are not known, as before a first
// start, nothing counts as changed.
func settingsChange(running, next []string) string {
	if len(running) == 0 {
		return ""
	}
	was, is := byKey(running), byKey(next)
	var out []string
	all := maps.Clone(was)
	maps.Copy(all, is)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if key == ConfigVar {
			continue // a digest of the others
		}
		if c := becomes(strings.ToLower(strings.TrimPrefix(key, "ETCD_")), was[key], is[key]); c != "" {
			out = append(out, c)
		}
	}
	return strings.Join(out, ", ")
}

// byKey are lines "KEY=value" by key, without those of a first start.
func byKey(lines []string) map[string]string {
	values := map[string]string{}
	for _, line := range lines {
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(key, firstStart) {
			values[key] = value
		}
	}
	return values
}

// maxTold bounds how many relations the last line of a hook names.
const maxTold = 5

// Noteworthy reports whether a hook did something, or something is not as it should be. The last
// line of such a hook is logged at INFO, that of a quiet hook at DEBUG.
func Noteworthy(p Plan, w World) bool {
	did := len(w.Done)+len(w.Tried)+len(p.Bags)+len(p.Secrets) > 0 || p.NewAuthority
	return did || slices.ContainsFunc(p.Reasons, func(r Reason) bool { return r.Health() != Sound })
}

// HookLog is what is logged of a hook once no step is left, before it is published.
func HookLog(e Event, p Plan, w World) []any {
	attrs := []any{"hook", e.name()}
	if from := cmp.Or(e.RemoteUnit, e.RemoteApp); from != "" {
		attrs = append(attrs, "of", from)
	}
	if n := len(w.Done); n > 0 {
		attrs = append(attrs, "steps", n)
	}
	if n := len(w.Tried); n > 0 {
		attrs = append(attrs, "failed", n)
	}
	if to := addressees(p.Bags); to != "" {
		attrs = append(attrs, "tells", to)
	}
	if len(p.States) > 0 {
		attrs = append(attrs, "states", p.States)
	}
	if p.Status.Level != "" {
		attrs = append(attrs, "status", string(p.Status.Level)+": "+p.Status.Message)
	}
	return attrs
}

// addressees names each relation that is written to once.
func addressees(bags []BagWrite) string {
	var relations []string
	for _, w := range bags {
		if !slices.Contains(relations, w.Relation) {
			relations = append(relations, w.Relation)
		}
	}
	if n := len(relations); n > maxTold {
		return fmt.Sprintf("%s and %d more", strings.Join(relations[:maxTold], ","), n-maxTold)
	}
	return strings.Join(relations, ",")
}

// name is the hook's as Juju calls it.
func (e Event) name() string {
	if e.Kind == hooks.Action {
		return e.Action
	}
	if e.Endpoint == "" {
		return string(e.Kind)
	}
	return e.Endpoint + "-" + string(e.Kind)
}
