package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/juju/charm/v12"
)

// called are the hook tools that the sequence must have called; otherwise it proves too little.
var called = []string{
	"action-fail", "action-get", "action-log", "action-set", "application-version-set", "close-port", "config-get", "goal-state", "is-leader", "juju-log",
	"network-get", "open-port", "opened-ports", "relation-get", "relation-ids", "relation-list", "relation-set",
	"secret-add", "secret-get", "secret-ids", "secret-info-get", "state-delete", "state-get", "state-set", "status-set",
}

// TestHookTools plays testdata/life.txt in juju-sim with Juju's commands beside the simulator's.
func TestHookTools(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	archive, err := charm.ReadCharmArchive(filepath.Join(root, "dist", "etcd_"+runtime.GOARCH+".charm"))
	if err != nil {
		t.Fatalf("there is no packed charm: run `make charm` first: %v", err)
	}
	dir := t.TempDir()
	unpacked, contexts := filepath.Join(dir, "charm"), filepath.Join(dir, "contexts")
	if err := archive.ExpandTo(unpacked); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(contexts, 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := newRelay(contexts, archive.Meta())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	odd, err := filepath.Abs("testdata/odd.sh")
	if err != nil {
		t.Fatal(err)
	}
	dispatch := fmt.Sprintf(`#!/bin/sh
env | grep '^JUJU_' >'%s'/"$(echo "$JUJU_CONTEXT_ID" | tr / _)"
export JUJU_AGENT_SOCKET_ADDRESS='%s'
[ "$JUJU_HOOK_NAME" != update-status ] || . '%s' >/dev/null 2>&1
exec "$JUJU_CHARM_DIR/$JUJU_DISPATCH_PATH"
`, contexts, r.listener.Addr(), odd)
	if err := os.WriteFile(filepath.Join(unpacked, "dispatch"), []byte(dispatch), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	sim := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "juju-sim"), "script", "testdata/life.txt")
	sim.Env = append(os.Environ(), "CHARM="+unpacked)
	out, err := sim.CombinedOutput()
	if err != nil {
		t.Errorf("the life did not end well: %v\n%s", err, out)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, finding := range r.findings {
		t.Error(finding)
	}
	for _, tool := range called {
		if r.calls[tool] == 0 {
			t.Errorf("%s was never called", tool)
		}
	}
	t.Logf("%d calls compared: %s", r.total(), strings.TrimPrefix(fmt.Sprint(r.calls), "map"))
}
