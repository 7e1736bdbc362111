//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/juju/charm/v12"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
	"github.com/juju-charms/etcd-charm/test/load"
)

// maxExposure is the worst score of `systemd-analyze security` that a service of ours may have.
const maxExposure = 3.0

const (
	// proxyMachine is the proxy's machine; the members are on those before it.
	proxyMachine = 3
	// moved is where the numbers begin with which the model asks for a machine's new address.
	moved = 1000
)

// three are the voters of the whole cluster.
var three = []string{"etcd0", "etcd1", "etcd2"}

// world is a model whose units live on machines; machine n of the model is machine m<n>.
type world struct {
	machines
	*model.Model
	count  int // of machines
	agent  *agent
	charms [2]*charm.CharmDir // two releases, unpacked; units start with the first
}

// newWorld has the applications of TestCluster.
func newWorld(t *testing.T, n int) world {
	t.Helper()
	w := emptyWorld(t, n)
	first := w.charms[0]
	require.NoError(t, w.Deploy("etcd", first, first.Path, nil))
	require.NoError(t, w.Deploy("local", first, first.Path, map[string]string{"role": "proxy"}))
	return w
}

// emptyWorld has n machines, on which nothing is deployed yet.
func emptyWorld(t *testing.T, n int) world {
	t.Helper()
	w := world{machines: raise(t, n), count: n}
	w.agent = newAgent(t, w.machines)
	w.charms = releases(t, w.agent.dir)
	made, err := model.New(model.Options{
		Name: "e2e", Series: os.Getenv("JUJU"),
		Address: w.address,
		OnRecord: func(r model.Record) {
			t.Logf("%-12s %-30s %-7s %6s %3d calls %s", r.Unit, r.Hook, r.Result, r.Duration.Round(time.Millisecond), r.Calls, r.Error)
		},
	})
	require.NoError(t, err)
	w.agent.model, w.Model = made, made
	t.Cleanup(func() {
		if t.Failed() {
			w.confess(t)
		}
	})
	return w
}

// releases unpacks the packed charm below dir, and another one that differs in its binary alone.
func releases(t *testing.T, dir string) (out [2]*charm.CharmDir) {
	t.Helper()
	archive := env(t, "CHARM")
	out[0] = unpacked(t, archive, filepath.Join(dir, "charm0"))
	next := filepath.Join(dir, "charm1")
	require.NoError(t, load.NextRelease(archive, next))
	var err error
	out[1], err = charm.ReadCharmDir(next)
	require.NoError(t, err)
	return out
}

// unpacked is a packed charm, unpacked into a new directory.
func unpacked(t *testing.T, archive, dir string) *charm.CharmDir {
	t.Helper()
	read, err := charm.ReadCharmArchive(archive)
	require.NoError(t, err)
	require.NoError(t, read.ExpandTo(dir))
	out, err := charm.ReadCharmDir(dir)
	require.NoError(t, err)
	return out
}

// confess prints what an operator would look at after a failure.
func (w world) confess(t *testing.T) {
	t.Helper()
	log := w.Log("")
	for _, l := range log[max(0, len(log)-60):] {
		t.Log(l)
	}
	for n := range w.count {
		out, err := w.run(context.Background(), n, nil, "sh", "-c", "journalctl -q --no-pager -n 25 -u 'etcd-charm-*'; systemctl --no-pager list-units 'etcd-charm-*'")
		t.Logf("m%d: %v\n%s", n, err, out)
	}
}

// settle runs every hook that is due, and then update-status on all units: the slowest schedule
// that a charm may rely on.
func (w world) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	defer cancel()
	require.NoError(t, w.Settle(ctx, w.agent, 4))
}

// settled goes on, with update-status in between, until every unit of the application is active, or
// fails.
func (w world) settled(t *testing.T, app string) {
	t.Helper()
	deadline := time.Now().Add(5 * patience)
	for {
		w.settle(t)
		status := w.Status().Applications[app]
		busy := ""
		for name, u := range status.Units {
			if u.Agent.Current != "lost" && u.Workload.Current != "active" {
				busy += fmt.Sprintf("%s: %s (%s); ", name, u.Workload.Current, u.Workload.Message)
			}
		}
		if busy == "" {
			return
		}
		require.Less(t, time.Now(), deadline, "not settled: %s", busy)
		for name, u := range status.Units {
			if u.Agent.Current != "lost" {
				require.NoError(t, w.UpdateStatus(name))
			}
		}
	}
}

func (w world) addUnits(t *testing.T, app string, n int) {
	t.Helper()
	for range n {
		_, err := w.AddUnit(app, model.NewMachine)
		require.NoError(t, err)
	}
	w.settled(t, app)
}

// TestCluster plays the life of a cluster and of a proxy as one story: each part continues the one
// before.
func TestCluster(t *testing.T) {
	w := newWorld(t, proxyMachine+1)
	for _, part := range []struct {
		name string
		run  func(*testing.T, world)
	}{
		{"one unit", oneUnit},
		{"service and files", serviceAndFiles},
		{"three units", threeUnits},
		{"proxy", proxy},
		{"config roll", configRoll},
		{"refresh", refresh},
		{"server killed", serverKilled},
		{"machine cut", machineCut},
		{"machine killed", machineKilled},
		{"new address", newAddress},
		{"taken out", takenOut},
		{"two units", twoUnits},
		{"ghost", ghost},
		{"no secrets in sight", noSecrets},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, w) }) {
			return // the rest would only fail for the same reason
		}
	}
}

func oneUnit(t *testing.T, w world) {
	w.addUnits(t, "etcd", 1)
	assert.Equal(t, []string{"etcd0"}, w.voters(t, 0))
	assert.Equal(t, "OK", w.sh(t, 0, "etcdctl put first one"))
	assert.Equal(t, "one", w.sh(t, 0, "etcdctl get --print-value-only first"))
	// Over the network only with a certificate.
	out := w.sh(t, 0, "curl -sk https://$(hostname -I | cut -d' ' -f1):2379/health 2>&1 || echo refused")
	assert.Contains(t, out, "refused")
	assert.Contains(t, w.sh(t, 0, "curl -s http://127.0.0.1:2381/readyz"), "ok")
}

func serviceAndFiles(t *testing.T, w world) {
	p := w.show(t, 0, "etcd/0")
	for key, want := range map[string]string{
		"ActiveState": "active", "SubState": "running", "UnitFileState": "enabled", "Type": "notify",
		"TimeoutStartUSec": "infinity", "Restart": "on-failure", "User": "etcd-charm", "NeedDaemonReload": "no", "NRestarts": "0",
	} {
		assert.Equal(t, want, p[key], key)
	}
	stop, err := time.ParseDuration(strings.ReplaceAll(p["TimeoutStopUSec"], "min", "m0s"))
	if assert.NoError(t, err) {
		assert.GreaterOrEqual(t, stop, 30*time.Second)
	}

	pid := p["MainPID"]
	uid := w.sh(t, 0, "id -u etcd-charm")
	assert.NotEqual(t, "0", uid)
	assert.Equal(t, uid, w.sh(t, 0, "stat -c %u /proc/"+pid), "the server's user")
	assert.Contains(t, w.sh(t, 0, "readlink /proc/"+pid+"/exe"), "/opt/etcd-charm/etcd-0/", "the server runs from the installed copy")
	assert.Regexp(t, `nologin|false`, w.sh(t, 0, "getent passwd etcd-charm"))

	w.homes(t, 0, "etcd/0")
	w.exposure(t, 0, "etcd/0")
}

// homes checks which users may read and write what a unit has on its machine.
func (w world) homes(t *testing.T, n int, unit string) {
	t.Helper()
	assert.Equal(t, "700 etcd-charm", w.sh(t, n, "stat -c '%a %U' /var/lib/etcd-charm/"+dashed(unit)+"/data"))
	w.keysAtHome(t, n, unit)
	w.readsItsFiles(t, n, unit)
	assert.Equal(t, "600 root:root", w.sh(t, n, "stat -c '%a %U:%G' /etc/etcd-charm/"+dashed(unit)+"/tls/admin.key"))
	// Only root may change what root runs, and where settings lie; a leaf is its server's.
	assert.Empty(t, w.sh(t, n, "find /opt/etcd-charm /etc/systemd/system ! -user root; find /etc/etcd-charm ! -user root ! -path '*/tls/*'; "+
		"find /opt/etcd-charm /etc/etcd-charm /etc/systemd/system ! -type l -perm /022"))
}

var exposure = regexp.MustCompile(`Overall exposure level for \S+ ([0-9.]+)`)

// exposure asks systemd how much of the machine a service could reach.
func (w world) exposure(t *testing.T, n int, unit string) {
	t.Helper()
	out := w.sh(t, n, "systemd-analyze security --no-pager "+service(unit)+" || true")
	found := exposure.FindStringSubmatch(strings.ReplaceAll(out, ":", ""))
	require.Len(t, found, 2, out)
	score, err := strconv.ParseFloat(found[1], 64)
	require.NoError(t, err)
	t.Logf("%s: exposure %.1f", unit, score)
	assert.LessOrEqual(t, score, maxExposure)
}

func threeUnits(t *testing.T, w world) {
	w.addUnits(t, "etcd", 2)
	for n := range 3 {
		assert.Equal(t, three, w.voters(t, n))
		assert.Equal(t, "one", w.sh(t, n, "etcdctl get --print-value-only first"))
		assert.Equal(t, "active", w.show(t, n, fmt.Sprintf("etcd/%d", n))["ActiveState"])
		// Every certificate names the unit's own address: real addresses are what the peer port
		// checks.
		assert.Contains(t, w.sh(t, n, "etcdctl endpoint status -w simple"), "3.7.3")
	}
	report := w.health(t, "etcd/0")
	assert.Equal(t, "healthy", report["health"])
	t.Log(report)
}

func proxy(t *testing.T, w world) {
	_, err := w.Relate("etcd:proxy", "local:upstream")
	require.NoError(t, err)
	w.addUnits(t, "local", 1)
	w.settled(t, "etcd")
	w.writeThroughProxy(t, 0, "calm")
	p := w.show(t, 3, "local/0")
	assert.Equal(t, "active", p["ActiveState"])
	assert.Equal(t, "etcd-charm", p["User"])
	assert.Equal(t, "enabled", p["UnitFileState"])
	w.keysAtHome(t, 3, "local/0")
	w.readsItsFiles(t, 3, "local/0")
	w.exposure(t, 3, "local/0")
	assert.Equal(t, "7", w.sh(t, 3, "curl -s --max-time 60 http://$(hostname -I | cut -d' ' -f1):2379/health; echo $?"),
		"plaintext stays on the machine: the connection is refused, not slow")
}

// writeThroughProxy writes over gRPC and over HTTP on the proxy's machine, in plaintext, and reads
// at the member of machine at.
func (w world) writeThroughProxy(t *testing.T, at int, value string) {
	t.Helper()
	ctl := "exec -a etcdctl " + charmDir("local/0") + "/bin/etcd-charm --endpoints http://127.0.0.1:2379 --command-timeout 5s"
	line := fmt.Sprintf("bash -c '%s put grpc %s'", ctl, value)
	assert.Equal(t, "OK", w.eventually(t, proxyMachine, patience, "ETCDCTL_API=3 "+line))
	// {"key": "http", "value": value}, in base64 as the JSON gateway has it.
	body := fmt.Sprintf(`{"key":"aHR0cA==","value":"'$(printf %%s %s | base64)'"}`, value)
	w.eventually(t, proxyMachine, patience, "curl -sf --max-time 5 -d '"+body+"' http://127.0.0.1:2379/v3/kv/put")
	for _, key := range []string{"grpc", "http"} {
		assert.Equal(t, value, w.sh(t, at, "etcdctl get --print-value-only "+key))
	}
}

// noSecrets looks for private keys where none may be, after all that happened.
func noSecrets(t *testing.T, w world) {
	for n := range proxyMachine + 1 {
		found := w.sh(t, n, "{ journalctl -q --no-pager; cat /proc/[0-9]*/cmdline; } 2>/dev/null | tr '\\0' ' ' | grep -c 'PRIVATE [K]EY' || true")
		assert.Equal(t, "0", found, "machine %d", n)
	}
	for _, line := range w.Log("") {
		assert.NotContains(t, line.Message, "PRIVATE KEY")
	}
	for _, r := range w.Relations() {
		for _, owner := range append(w.Units(""), "etcd", "local") {
			bag, err := w.Bag(strconv.Itoa(r.ID), owner)
			if err != nil {
				continue // it is not on this relation
			}
			for key, value := range bag {
				// The protocol of etcd-proxy requires the client's key. Without secrets the
				// authorities have no other place.
				if (r.Interface == "etcd-proxy" && key == "client_key") || (r.Peer && owner == "etcd" && !w.Rules.Secrets) {
					continue
				}
				assert.NotContains(t, value, "PRIVATE KEY", "bag of %s in %s, key %s", owner, r.Interface, key)
			}
		}
	}
}
