// Package server is all of our own code that runs in the process of an etcd server.
//
// The rule it keeps: what that process does is decided here, in what this package imports and in
// the service's unit file, and nowhere else. The server ID that a build is stamped with
// (internal/stamp) is made of these, and a member is restarted only when that ID changes.
package server

import (
	"go.etcd.io/etcd/server/v3/etcdmain"

	"github.com/juju-charms/etcd-charm/internal/webproxy"
)

// Main is etcd, called with its whole command line. It usually does not return.
func Main(args []string) {
	webproxy.Unset()
	etcdmain.Main(args)
}
