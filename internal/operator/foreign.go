package operator

import (
	"slices"
	"strings"
)

// foreign reports whether our process runs with other settings than those on disk though it was restarted with them:
// somebody else adds to its environment, a drop-in of systemd for instance. One more restart would change nothing.
func (v view) foreign() bool {
	if v.w.Service.Config != Altered {
		return false
	}
	written := v.role() == RoleProxy || v.w.WrittenConfig == v.desiredDigest
	return v.m.Memory.Value.Foreign == v.startDigest() || written && v.restartedHere()
}

// restartedHere reports whether this pass restarted our process and has written no settings since, nor tried to: somebody may
// change them as fast as they are written.
func (v view) restartedHere() bool {
	for _, t := range v.w.Tried {
		switch t.Step.(type) {
		case WriteMember, RevertMember, WriteProxy:
			return false
		}
	}
	for _, s := range slices.Backward(v.w.Done) {
		switch s.(type) {
		case Restart:
			return true
		case WriteMember, RevertMember, WriteProxy:
			return false
		}
	}
	return false
}

// startDigest is the digest of what our process should be started with.
func (v view) startDigest() string {
	if v.role() == RoleProxy {
		return v.proxy().ProcessDigest()
	}
	return v.desiredDigest
}

// rememberForeign keeps Memory.Foreign true.
func rememberForeign(v view, p *Plan) {
	sum := ""
	if v.foreign() {
		sum = v.startDigest()
	}
	if v.m.Memory.Value.Foreign != sum {
		p.memory(v).Foreign = sum
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
