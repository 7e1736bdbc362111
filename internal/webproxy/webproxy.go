// Package webproxy keeps our programs from using a web proxy. Juju's options and /etc/environment
// may set one for a whole machine; a member is never behind one.
package webproxy

import "os"

// Vars are the variables from which Go's programs, etcd and gRPC among them, learn of web proxies.
func Vars() []string {
	return []string{
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	}
}

// Unset removes them from the environment. A program calls it before anything dials: otherwise etcd
// would reach its peers, and etcdctl its endpoints, through a web proxy.
func Unset() {
	for _, name := range Vars() {
		_ = os.Unsetenv(name) // it fails only for invalid names
	}
}
