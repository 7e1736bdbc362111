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

// idsIn are the IDs in a release's name; "" is not known, as with charms whose releases had none.
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

// release is the release that our process should run. It is the carried one, unless the running one
// has the same ID and nothing else needs a restart: then the running one stays, and the new copy is
// taken at the next restart or start by the charm. Nothing else needs a restart if digest, of what
// should run with the running release, is that of the live process, or if the process runs with
// settings that somebody else changed.
func (v view) release(id, digest func(release string) string) string {
	runs := v.w.Service.Release
	if !v.w.Service.Running || runs == v.w.Carried || id(runs) == "" || id(runs) != id(v.w.Carried) {
		return v.w.Carried
	}
	if sum := digest(runs); sum == v.w.Service.Config || sum == v.m.Memory.Value.Foreign {
		return runs
	}
	return v.w.Carried
}
