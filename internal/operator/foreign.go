package operator

import (
	"slices"
	"strings"
)

// foreign reports whether our process runs with other settings than those on disk though it was restarted with them:
// somebody else adds to its environment, a drop-in of systemd for instance. One more restart would change nothing.
func (l look) foreign() bool {
	if l.w.Service.Config != Altered {
		return false
	}
	written := l.role() == RoleProxy || l.w.WrittenConfig == l.sum
	return l.m.Memory.Value.Foreign == l.startSum() || written && l.restartedHere()
}

// restartedHere reports whether this pass restarted our process and has written no settings since, nor tried to: somebody may
// change them as fast as they are written.
func (l look) restartedHere() bool {
	for _, t := range l.w.Tried {
		switch t.Step.(type) {
		case WriteMember, RevertMember, WriteProxy:
			return false
		}
	}
	for _, s := range slices.Backward(l.w.Done) {
		switch s.(type) {
		case Restart:
			return true
		case WriteMember, RevertMember, WriteProxy:
			return false
		}
	}
	return false
}

// startSum is the digest of what our process should be started with.
func (l look) startSum() string {
	if l.role() == RoleProxy {
		return l.proxy().ProcessDigest()
	}
	return l.sum
}

// rememberForeign keeps Memory.Foreign true.
func rememberForeign(l look, p *Plan) {
	sum := ""
	if l.foreign() {
		sum = l.startSum()
	}
	if l.m.Memory.Value.Foreign != sum {
		p.memory(l).Foreign = sum
	}
}

// strange says that the process runs with settings of somebody else.
func (x *examiner) strange() {
	if x.foreign() {
		x.say(because(foreignSettings, x.m.Unit, serviceName(x.m.Unit)))
	}
}

// serviceName is the name of the unit's service.
func serviceName(unit string) string { return "etcd-charm-" + strings.ReplaceAll(unit, "/", "-") }
