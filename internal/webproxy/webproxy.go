// Package webproxy keeps our programs from asking a web proxy. Juju's options and /etc/environment name one for whole
// machines; a member is never behind one.
package webproxy

import "os"

// Vars are the variables by which Go's programs, etcd and gRPC among them, know of web proxies.
func Vars() []string {
	return []string{
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	}
}

// Unset takes them out of the environment. A program calls it before anything dials: etcd asks a web proxy for its peers, and
// etcdctl for its endpoints, if the environment names one.
func Unset() {
	for _, name := range Vars() {
		_ = os.Unsetenv(name) // it fails for names that are none
	}
}
