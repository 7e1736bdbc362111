package operator

import (
	"slices"
	"strconv"
	"strings"
)

// ports keeps the client port open in Juju while a member serves.
func (v view) ports(p *Plan) {
	if !v.usable() || v.w.Data.State != OurData || v.leaving() {
		return
	}
	want := []int{v.m.Config.Port}
	if v.m.Config.HTTPPort != 0 {
		want = append(want, v.m.Config.HTTPPort)
	}
	slices.Sort(want)
	var text []string
	for _, n := range want {
		text = append(text, strconv.Itoa(n))
	}
	if open := strings.Join(text, ","); v.m.Memory.Value.Ports != open {
		p.Ports, p.memory(v).Ports = want, open
	}
}
