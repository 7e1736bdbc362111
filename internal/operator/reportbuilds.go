package operator

import (
	"slices"
	"strings"
)

// builds fills in which server or proxy runs, and which one the charm carries. A member that does
// not answer may have ended since its unit published what it runs.
func (x *examiner) builds() {
	x.r.Carries = x.w.Carried
	if x.w.Service.Running {
		x.r.Runs = x.w.Service.Release
	}
	for i, m := range x.r.Members {
		switch {
		case m.Unit == x.m.Unit:
			x.r.Members[i].Server = ServerID(x.r.Runs)
		case m.Answers && m.Unit != "":
			x.r.Members[i].Server = x.m.Cluster.Value.UnitBags[m.Unit].Server
		}
	}
}

// buildLines are what builds found, for people. A half-done roll shows as two servers on one line.
func (r Report) buildLines() []named {
	var out []named
	if text := r.serversText(); r.Role != RoleProxy && text != "" {
		out = append(out, named{"servers", text})
	}
	if id := ProxyID(r.Runs); r.Role == RoleProxy && id != "" {
		out = append(out, named{"proxy", id})
	}
	if server, proxy := idsIn(r.Carries); server != "" {
		out = append(out, named{"charm", "has server " + server + ", proxy " + proxy})
	}
	return out
}

// serversText names the members by the server that they run; "" if that is known of no member.
func (r Report) serversText() string {
	var ids []string
	units := map[string][]string{}
	for _, m := range r.Members {
		if !slices.Contains(ids, m.Server) {
			ids = append(ids, m.Server)
		}
		units[m.Server] = append(units[m.Server], m.Label)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == "" })
	if len(ids) == 0 {
		return ""
	}
	var out []string
	for _, id := range ids {
		out = append(out, id+" on "+strings.Join(units[id], ", "))
	}
	if unknown := units[""]; len(unknown) > 0 {
		out = append(out, "not known for "+strings.Join(unknown, ", "))
	}
	return strings.Join(out, "; ")
}

// buildValues adds what builds found, for programs. A member's own are in its values.
func (r Report) buildValues(out values) {
	if r.Role == RoleProxy {
		out.set("proxy", ProxyID(r.Runs))
	}
	server, proxy := idsIn(r.Carries)
	out.set("charm-server", server)
	out.set("charm-proxy", proxy)
}
