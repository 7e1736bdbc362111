package operator

import "strings"

// ReleaseName names a build of the charm's program, "3.7.3-s0123456789ab-p0123456789ab-0123456789ab": etcd's version, the IDs
// of the server and of the proxy in it (package stamp), and what differs between builds. The name is a directory's and stands
// in the settings, so it says of a process which server or proxy runs. Without a stamp the IDs are not in it.
func ReleaseName(etcd, stamp, build string) string {
	if stamp == "" {
		return etcd + "-" + build
	}
	return etcd + "-" + stamp + "-" + build
}

// idsIn are the IDs in a release's name; "" is not known, as of charms that had none.
func idsIn(release string) (server, proxy string) {
	parts := strings.Split(release, "-")
	n := len(parts)
	if n < 4 {
		return "", ""
	}
	server, stamped := strings.CutPrefix(parts[n-3], "s")
	proxy, too := strings.CutPrefix(parts[n-2], "p")
	if !stamped || !too {
		return "", ""
	}
	return server, proxy
}

// ServerID is the ID of a release's server; "" is not known.
func ServerID(release string) string {
	id, _ := idsIn(release)
	return id
}

// ProxyID is the ID of a release's proxy; "" is not known.
func ProxyID(release string) string {
	_, id := idsIn(release)
	return id
}

// release is the one that our process should run: the carried one, unless what runs has the same ID and nothing else asks
// for a restart. So digest, of what should run with a release, is that of the live process, or of one that somebody else's
// settings are in. The new copy stands ready, and is taken at the next restart or start by the charm.
func (l look) release(id, digest func(release string) string) string {
	runs := l.w.Service.Release
	if !l.w.Service.Running || runs == l.w.Carried || id(runs) == "" || id(runs) != id(l.w.Carried) {
		return l.w.Carried
	}
	if sum := digest(runs); sum == l.w.Service.Config || sum == l.m.Memory.Value.Foreign {
		return runs
	}
	return l.w.Carried
}
