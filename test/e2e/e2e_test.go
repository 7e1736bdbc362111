//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// maxExposure is the worst score of `systemd-analyze security` that a service of ours may have.
const maxExposure = 3.0

// world is a model whose units live on machines; machine n of the model is machine m<n>.
type world struct {
	machines
	*model.Model
	agent *agent
}

func newWorld(t *testing.T, n int) world {
	t.Helper()
	w := world{machines: raise(t, n)}
	agent, archive := newAgent(t, w.machines, env(t, "CHARM"))
	made, err := model.New(model.Options{
		Name: "e2e", Series: os.Getenv("JUJU"),
		Address: func(machine int) string {
			out, err := w.do(context.Background(), "ip", name(machine))
			if err != nil {
				panic(err)
			}
			return strings.TrimSpace(out)
		},
		OnRecord: func(r model.Record) {
			t.Logf("%-12s %-30s %-7s %6s %3d calls %s", r.Unit, r.Hook, r.Result, r.Duration.Round(time.Millisecond), r.Calls, r.Error)
		},
	})
	require.NoError(t, err)
	agent.model = made
	w.agent, w.Model = agent, made
	t.Cleanup(func() {
		if t.Failed() {
			w.confess(t)
		}
	})
	require.NoError(t, w.Deploy("etcd", archive, "etcd", nil))
	require.NoError(t, w.Deploy("local", archive, "etcd", map[string]string{"role": "proxy"}))
	return w
}

// confess prints what an operator would look at.
func (w world) confess(t *testing.T) {
	t.Helper()
	log := w.Log("")
	for _, l := range log[max(0, len(log)-60):] {
		t.Log(l)
	}
	for n := range 4 {
		out, err := w.run(context.Background(), n, nil, "sh", "-c", "journalctl -q --no-pager -n 25 -u 'etcd-charm-*'; systemctl --no-pager list-units 'etcd-charm-*'")
		t.Logf("m%d: %v\n%s", n, err, out)
	}
}

// settle runs every hook that is due, and then update-status on all units: the slowest clock a charm may count on.
func (w world) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	require.NoError(t, w.Settle(ctx, w.agent, 4))
}

// settled goes on, with update-status between, until every unit of the application is active, and fails after a minute.
func (w world) settled(t *testing.T, app string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
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

// voters are the members that etcd itself lists as started and voting, sorted by name, as seen from machine n with
// the etcdctl of its path and no flag but the output's.
func (w world) voters(t *testing.T, n int) []string {
	t.Helper()
	var names []string
	for line := range strings.Lines(w.sh(t, n, "etcdctl member list -w simple")) {
		f := strings.Split(strings.TrimSpace(line), ", ") // id, status, name, peer URLs, client URLs, is learner
		require.Len(t, f, 6, line)
		if f[1] == "started" && f[5] == "false" {
			names = append(names, f[2])
		}
	}
	slices.Sort(names)
	return names
}

func (w world) show(t *testing.T, n int, unit string) map[string]string {
	t.Helper()
	p := map[string]string{}
	for line := range strings.Lines(w.sh(t, n, "systemctl show "+service(unit))) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		p[k] = v
	}
	return p
}

func service(unit string) string { return "etcd-charm-" + dashed(unit) + ".service" }

func dashed(unit string) string { return strings.ReplaceAll(unit, "/", "-") }

// TestCluster is the life of a cluster and of a proxy, in one story: each part goes on from the one before.
func TestCluster(t *testing.T) {
	w := newWorld(t, 4)
	for _, part := range []struct {
		name string
		run  func(*testing.T, world)
	}{
		{"one unit", oneUnit},
		{"service and files", serviceAndFiles},
		{"three units", threeUnits},
		{"proxy", proxy},
		{"machine killed", machineKilled},
		{"machine back", machineBack},
		{"two units", twoUnits},
		{"no secrets in sight", noSecrets},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, w) }) {
			return // what follows would only fail for the same reason
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

	assert.Equal(t, "700 etcd-charm", w.sh(t, 0, "stat -c '%a %U' /var/lib/etcd-charm/etcd-0/data"))
	w.keysAtHome(t, 0, "etcd/0")
	assert.Equal(t, "600 root:root", w.sh(t, 0, "stat -c '%a %U:%G' /etc/etcd-charm/etcd-0/tls/admin.key"))
	w.exposure(t, 0, "etcd/0")
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
		assert.Equal(t, []string{"etcd0", "etcd1", "etcd2"}, w.voters(t, n))
		assert.Equal(t, "one", w.sh(t, n, "etcdctl get --print-value-only first"))
		assert.Equal(t, "active", w.show(t, n, fmt.Sprintf("etcd/%d", n))["ActiveState"])
		// Every certificate names the unit's own address: real addresses are what the peer port checks.
		assert.Contains(t, w.sh(t, n, "etcdctl endpoint status -w simple"), "3.7.3")
	}
	res, _, err := w.RunAction(t.Context(), "etcd/0", "health", nil, w.agent)
	require.NoError(t, err)
	assert.Equal(t, "completed", res.Status, res.Message)
	t.Log(res.Results)
}

func proxy(t *testing.T, w world) {
	_, err := w.Relate("etcd:proxy", "local:upstream")
	require.NoError(t, err)
	w.addUnits(t, "local", 1)
	w.settled(t, "etcd")
	w.writeThroughProxy(t, "calm")
	p := w.show(t, 3, "local/0")
	assert.Equal(t, "active", p["ActiveState"])
	assert.Equal(t, "etcd-charm", p["User"])
	assert.Equal(t, "enabled", p["UnitFileState"])
	w.keysAtHome(t, 3, "local/0")
	w.exposure(t, 3, "local/0")
	assert.Equal(t, "refused", w.sh(t, 3, "curl -s --max-time 3 http://$(hostname -I | cut -d' ' -f1):2379/health || echo refused"),
		"plaintext stays on the machine")
}

// writeThroughProxy writes over gRPC and over HTTP on the proxy's machine, in plaintext, and reads at a member.
func (w world) writeThroughProxy(t *testing.T, value string) {
	t.Helper()
	ctl := "exec -a etcdctl " + charmDir("local/0") + "/bin/etcd-charm --endpoints http://127.0.0.1:2379 --command-timeout 2s"
	line := fmt.Sprintf("bash -c '%s put grpc %s'", ctl, value)
	assert.Equal(t, "OK", w.eventually(t, 3, 15*time.Second, "ETCDCTL_API=3 "+line))
	// {"key": "http", "value": value}, in base64 as the JSON gateway has it.
	body := fmt.Sprintf(`{"key":"aHR0cA==","value":"'$(printf %%s %s | base64)'"}`, value)
	w.eventually(t, 3, 15*time.Second, "curl -sf --max-time 2 -d '"+body+"' http://127.0.0.1:2379/v3/kv/put")
	for _, key := range []string{"grpc", "http"} {
		assert.Equal(t, value, w.sh(t, 0, "etcdctl get --print-value-only "+key))
	}
}

// machineKilled powers off m1, of which nobody hears anything more, while its two siblings go on.
func machineKilled(t *testing.T, w world) {
	_, err := w.do(t.Context(), "kill", name(1))
	require.NoError(t, err)
	require.NoError(t, w.PowerOff(1))
	start := time.Now()
	w.eventually(t, 0, 15*time.Second, "etcdctl --command-timeout 1s put during outage")
	t.Logf("a member wrote %s after the kill", time.Since(start).Round(time.Millisecond))
	w.writeThroughProxy(t, "outage")
	for _, u := range []string{"etcd/0", "etcd/2"} {
		require.NoError(t, w.UpdateStatus(u))
	}
	w.settle(t)
	// Unreachable is not absent: nothing is taken out.
	assert.Equal(t, []string{"etcd0", "etcd1", "etcd2"}, w.voters(t, 0))
}

// machineBack boots m1: systemd starts the member before Juju's agent runs the one hook of a reboot.
func machineBack(t *testing.T, w world) {
	_, err := w.do(t.Context(), "boot", name(1))
	require.NoError(t, err)
	w.eventually(t, 1, 30*time.Second, "curl -sf http://127.0.0.1:2381/readyz")
	before := len(w.Records("etcd/1"))
	require.NoError(t, w.Boot(1))
	w.settled(t, "etcd")
	records := w.Records("etcd/1")
	require.Greater(t, len(records), before)
	assert.Equal(t, "start", records[before].Hook)
	assert.Equal(t, []string{"etcd0", "etcd1", "etcd2"}, w.voters(t, 1))
	assert.Equal(t, "outage", w.sh(t, 1, "etcdctl get --print-value-only during"))
	assert.Equal(t, "0", w.show(t, 1, "etcd/1")["NRestarts"])
}

func twoUnits(t *testing.T, w world) {
	require.NoError(t, w.RemoveUnit("etcd/2", false))
	w.settled(t, "etcd")
	assert.Equal(t, []string{"etcd0", "etcd1"}, w.voters(t, 0))
	assert.Equal(t, []string{"etcd0", "etcd1"}, w.voters(t, 1))
	p := w.show(t, 2, "etcd/2")
	assert.NotEqual(t, "active", p["ActiveState"])
	assert.NotEqual(t, "enabled", p["UnitFileState"])
	assert.NotEmpty(t, w.sh(t, 2, "find /var/lib/etcd-charm -name db -path '*data*'"), "nothing is deleted")
	w.settled(t, "local")
	w.writeThroughProxy(t, "smaller")
	bag, err := w.Bag(w.relation(t), "etcd/0")
	require.NoError(t, err)
	assert.NotContains(t, bag["cluster"], "etcd2=")
	other, err := w.Bag(w.relation(t), "etcd/1")
	require.NoError(t, err)
	assert.Equal(t, bag["cluster"], other["cluster"], "the same from every unit")
}

// noSecrets looks for private keys where none must be, after all that happened.
func noSecrets(t *testing.T, w world) {
	for n := range 4 {
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
				continue // not a party to this relation
			}
			for key, value := range bag {
				// The protocol of etcd-proxy demands the client's key; before secrets the authorities have no other place.
				if (r.Interface == "etcd-proxy" && key == "client_key") || (r.Peer && owner == "etcd" && !w.Rules.Secrets) {
					continue
				}
				assert.NotContains(t, value, "PRIVATE KEY", "bag of %s in %s, key %s", owner, r.Interface, key)
			}
		}
	}
}

// relation is the id of the one relation between the two applications.
func (w world) relation(t *testing.T) string {
	t.Helper()
	for _, r := range w.Relations() {
		if r.Interface == "etcd-proxy" {
			return strconv.Itoa(r.ID)
		}
	}
	require.Fail(t, "the relation is gone")
	return ""
}
