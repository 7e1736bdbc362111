package operator

import (
	"slices"
	"strconv"
	"strings"
)

// ports keeps the client port open in Juju while a member serves.
func (l look) ports(p *Plan) {
	if !l.usable() || l.w.Data.State != OurData || l.leaving() {
		return
	}
	want := []int{l.m.Config.Port}
	if l.m.Config.HTTPPort != 0 {
		want = append(want, l.m.Config.HTTPPort)
	}
	slices.Sort(want)
	var text []string
	for _, n := range want {
		text = append(text, strconv.Itoa(n))
	}
	if open := strings.Join(text, ","); l.m.Memory.Value.Ports != open {
		p.Ports, p.memory(l).Ports = want, open
	}
}
