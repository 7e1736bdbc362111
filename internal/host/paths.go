package host

import (
	"path/filepath"
	"strings"
)

// systemUser owns the data and runs the server.
const systemUser = "etcd-charm"

// binaryName is the installed copy's name; the other names under which it runs are links beside it.
const binaryName = "etcd-charm"

// paths knows where everything lies. It is the only place that does: R is root, U the unit's name
// with "-" for "/".
type paths struct{ root, unit string }

func newPaths(root, unit string) paths {
	return paths{root: root, unit: strings.ReplaceAll(unit, "/", "-")}
}

func (p paths) join(parts ...string) string {
	return filepath.Join("/", p.root, filepath.Join(parts...))
}

// opt holds one directory for each installed release.
func (p paths) opt() string                   { return p.join("opt/etcd-charm", p.unit) }
func (p paths) release(release string) string { return filepath.Join(p.opt(), release) }
func (p paths) binary(release string) string  { return filepath.Join(p.release(release), binaryName) }
func (p paths) etc() string                   { return p.join("etc/etcd-charm", p.unit) }
func (p paths) config(name string) string     { return filepath.Join(p.etc(), name) }
func (p paths) tls(name string) string        { return filepath.Join(p.etc(), "tls", name) }
func (p paths) memberEnv() string             { return p.config("etcd.env") }
func (p paths) etcdctlEnv() string            { return p.config("etcdctl.env") }
func (p paths) proxyEnv() string              { return p.config("proxy.env") }
func (p paths) proxyConfig() string           { return p.config("proxy.yaml") }
func (p paths) state() string                 { return p.join("var/lib/etcd-charm", p.unit) }
func (p paths) tool(name string) string       { return p.join("usr/local/bin", name) }
func (p paths) serviceName() string           { return "etcd-charm-" + p.unit + ".service" }

// runDir is the value of systemd's RuntimeDirectory=: a directory below /run, made at each start of
// the service and removed at its end.
func (p paths) runDir() string { return filepath.Join("etcd-charm", p.unit) }
func (p paths) socket() string { return p.join("run", p.runDir(), "etcd.sock") }

func (p paths) unitFile() string { return p.join("etc/systemd/system", p.serviceName()) }

// compared is the file that remembers that the installed copy equals the carried one; it disappears
// at each boot.
func (p paths) compared() string { return p.join("run/etcd-charm", p.unit+".copy") }

func (p paths) wanted() string {
	return p.join("etc/systemd/system/multi-user.target.wants", p.serviceName())
}

// data is the data directory; no other code states it.
func (p paths) data() string { return filepath.Join(p.state(), "data") }

// fence is the file by which the gate decides before each start of the server.
func (p paths) fence() string { return filepath.Join(p.state(), "fence.json") }

// What the unit keeps beside its data, and its long work. Only root can read them.
func (p paths) snapshots() string           { return filepath.Join(p.state(), "snapshots") }
func (p paths) worksDir() string            { return filepath.Join(p.state(), "work") }
func (p paths) work(id string) string       { return filepath.Join(p.worksDir(), id) }
func (p paths) upkeepLock() string          { return filepath.Join(p.worksDir(), "upkeep.lock") }
func (p paths) snapshotConfig() string      { return p.config("snapshots.json") }
func (p paths) snapshotService() string     { return "etcd-charm-" + p.unit + "-snapshot.service" }
func (p paths) timerName() string           { return "etcd-charm-" + p.unit + "-snapshot.timer" }
func (p paths) snapshotServiceFile() string { return p.join("etc/systemd/system", p.snapshotService()) }
func (p paths) timerFile() string           { return p.join("etc/systemd/system", p.timerName()) }
func (p paths) timerWanted() string {
	return p.join("etc/systemd/system/timers.target.wants", p.timerName())
}

// metrics is the unit's metrics file. It lies in a directory that all units on the machine share,
// because a collector reads one directory.
func (p paths) metricsDir() string { return p.join("var/lib/etcd-charm/metrics") }
func (p paths) metrics() string    { return filepath.Join(p.metricsDir(), p.unit+".prom") }

// prepared is where new data is made beside ours, until it is served.
func (p paths) prepared() string { return filepath.Join(p.state(), "prepared") }

// drilled records when the last drill succeeded.
func (p paths) drilled() string { return filepath.Join(p.state(), "drill.json") }

// disk is the result of the last measurement of the disk.
func (p paths) disk() string { return filepath.Join(p.state(), "disk.json") }

// hookLog records what the last hooks did. diagnoses holds the archives that were written for a
// reader elsewhere.
func (p paths) hookLog() string   { return filepath.Join(p.state(), "hooks.log") }
func (p paths) diagnoses() string { return filepath.Join(p.state(), "diagnoses") }

// learnedDir is where the proxy's service keeps the members that it has learned; only that service
// writes there.
func (p paths) learnedDir() string { return filepath.Join(p.state(), "proxy") }
func (p paths) learned() string    { return filepath.Join(p.learnedDir(), "members.json") }

// Names of the files under tls/.
const (
	peerName, serverName, adminName = "peer", "server", "admin"
	upstreamName                    = "upstream"

	peerTrustFile     = "peer-ca.crt"
	clientTrustFile   = "client-ca.crt"
	revokedFile       = "client.crl"
	peerRevokedFile   = "peer.crl"
	issuedFile        = "issued" // the certificates that this unit has issued to itself
	upstreamTrustFile = "upstream-ca.crt"
)

func certFile(name string) string { return name + ".crt" }
func keyFile(name string) string  { return name + ".key" }
