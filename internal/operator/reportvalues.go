package operator

import (
	"strconv"
	"strings"
)

// Values is the report for programs, as nested maps for action-set: each key is fit for it, and
// each leaf is a text that is not empty. What is not known is left out.
func (r Report) Values() map[string]any {
	out := values{
		"health": string(r.Health), "role": string(r.Role), "summary": singleLine(Summary(r)),
	}
	out.set("seen-by", r.Unit)
	out.set("reasons", texts(r.healthReasons()))
	out.set("notes", texts(r.notes()))
	out.set("states", strings.Join(r.States, ","))
	out.set("versions", strings.Join(r.Versions, ","))
	out.set("certificate", known(lifetime(r.Certificate)))
	r.buildValues(out)
	if r.Memory > 0 {
		out["memory"] = strconv.FormatInt(r.Memory, 10)
	}
	if r.Role == RoleProxy {
		r.upstreamValues(out)
		return out
	}
	r.keptValues(out)
	if d := r.disk.values(); len(d) > 0 {
		out["disk"] = map[string]any(d)
	}
	out.set("reach", r.Reach.String())
	out.set("members-without-unit", strings.Join(r.MembersWithoutUnit, ","))
	out.set("units-without-member", strings.Join(r.UnitsWithoutMember, ","))
	if r.ClusterID != 0 {
		out["cluster-id"] = hexID(r.ClusterID)
	}
	if r.Voters > 0 {
		out["voters"], out["voters-ready"] = strconv.Itoa(r.Voters), strconv.Itoa(r.Ready)
		out["voters-reachable"], out["learners"] = strconv.Itoa(r.Reachable), strconv.Itoa(r.Learners)
		out["quorum"], out["margin"] = strconv.Itoa(r.Quorum), strconv.Itoa(r.Margin)
		out["survival"] = r.survival()
	}
	out.set("leader", r.Leader)
	if r.TermMax != 0 {
		out["term"] = number(r.TermMax)
		if r.TermMin != r.TermMax {
			out["term"] = number(r.TermMin) + "-" + number(r.TermMax)
		}
	}
	members := map[string]any{}
	for _, m := range r.Members {
		members[keyFor(members, m)] = map[string]any(m.values())
	}
	if len(members) > 0 {
		out["members"] = members
	}
	return out
}

// values are texts, and maps of such values.
type values map[string]any

// set adds a text unless it is empty.
func (v values) set(key, text string) {
	if text != "" {
		v[key] = text
	}
}

func (m MemberReport) values() values {
	out := values{"id": hexID(m.ID), "role": m.Role, "answers": yesNo(m.Answers)}
	out.set("unit", m.Unit)
	out.set("name", singleLine(m.Name))
	out.set("peer-urls", singleLine(strings.Join(m.PeerURLs, ",")))
	out.set("client-urls", singleLine(strings.Join(m.ClientURLs, ",")))
	out.set("server", m.Server)
	out.set("alarms", strings.Join(m.Alarms, ","))
	if !m.Answers {
		return out
	}
	out["ready"] = yesNo(m.Ready)
	out.set("version", singleLine(m.Version))
	out.set("storage-version", singleLine(m.StorageVersion))
	out["db-size"], out["db-in-use"] =
		strconv.FormatInt(m.DBSize, 10), strconv.FormatInt(m.DBInUse, 10)
	if m.Use() >= 0 {
		out["quota"], out["use-percent"] = strconv.FormatInt(m.Quota, 10), strconv.Itoa(m.Use())
	}
	out["term"], out["index"], out["applied"], out["lag"] =
		number(m.Term), number(m.Index), number(m.Applied), number(m.Lag)
	out.set("round-trip", known(roundTrip(m.RTT)))
	out.set("certificate", known(lifetime(m.CertRemaining)))
	out.set("errors", singleLine(strings.Join(m.Errors, "; ")))
	return out
}

// upstreamValues adds what a proxy reaches.
func (r Report) upstreamValues(out values) {
	out.set("listen", strings.Join(r.Listen, ","))
	out.set("socket", r.Socket.Path)
	out.set("socket-group", r.Socket.Group)
	out["members-known"], out["members-reachable"] =
		strconv.Itoa(len(r.Upstream)), strconv.Itoa(r.Reachable)
	members := map[string]any{}
	for _, p := range r.Upstream {
		one := values{"answers": yesNo(p.Answers)}
		one.set("name", singleLine(p.Name))
		one.set("peer-urls", singleLine(p.PeerURL))
		one.set("client-urls", singleLine(p.ClientURL))
		one.set("errors", singleLine(p.Error))
		if p.Answers {
			one.set("version", singleLine(p.Version))
			one.set("round-trip", known(roundTrip(p.RTT)))
			one.set("certificate", known(lifetime(p.CertRemaining)))
		}
		members[free(members, slug(probeLabel(p)))] = map[string]any(one)
	}
	if len(members) > 0 {
		out["members"] = members
	}
}

// keyFor is the member's key: its name in etcd, which a proxy knows too, or the name that it will
// have; else its ID. It is never a key that is taken.
func keyFor(taken map[string]any, m MemberReport) string {
	key := slug(singleLine(m.Name))
	switch {
	case m.Name == "" && m.Unit != "":
		key = memberName(m.Unit)
	case m.Name == "":
		key = "member-" + hexID(m.ID)
	}
	if _, is := taken[key]; is {
		return free(taken, key+"-"+hexID(m.ID))
	}
	return key
}

// free is the key, with a number appended if it is taken.
func free(taken map[string]any, key string) string {
	try := key
	for n := 2; taken[try] != nil; n++ {
		try = key + "-" + strconv.Itoa(n)
	}
	return try
}

// slug makes a text a key that action-set takes: lower-case letters, digits, and hyphens between
// them.
func slug(s string) string {
	s = strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9'):
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, s), "-")
	if s == "" {
		return "unnamed"
	}
	return s
}

// known is the text of a table's cell, or "" for the dash that stands for unknown.
func known(cell string) string {
	if cell == "-" {
		return ""
	}
	return cell
}
