package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/juju-charms/etcd-charm/test/load"
)

// command is a command of scripts; neg is a "!" before it.
type command = func(ts *testscript.TestScript, neg bool, args []string)

// commands are the commands that scripts have beside juju-sim's verbs:
//
// $ARCHIVE is the packed charm, $CHARM the same unpacked.
//
//	unpack DIR                       the packed charm as a directory, to be changed
//	credentials DIR                  the last output, a databag as JSON, as files ca.pem, cert.pem, key.pem
//	                                 and the rest, without what Juju itself puts there, as settings.json
//	eventually COMMAND               repeats a program until it succeeds
//	occupy HOST:PORT [bound], release HOST:PORT   listen there, and end it; "bound" only binds, like a connection from there
//	learn-keys, no-key, keys-at-home DIR         see keys_test.go; watch-processes DIR comes before them
//	connect NAME HOST:PORT ROOTS [CERT KEY], ask NAME, servers DIR   see connections_test.go
//	get URL [SOCKET], post URL BODY  HTTP, over a unix socket if one is named; prints the answer's body; beyond 299 it fails
//	consumers FIRST LAST             deploys consumers c<FIRST> to c<LAST>, each related to etcd:proxy
//	cluster NAME SIZE [http]         a cluster of another charm's, and bags for charms/provider: see startCluster
func commands(verbs map[string]command, bin string) map[string]command {
	return map[string]command{
		"unpack": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(unpack(ts.Getenv("ARCHIVE"), ts.MkAbs(args[0])))
		},
		"cluster": func(ts *testscript.TestScript, neg bool, args []string) {
			startCluster(ts, neg, args, bin)
		},
		"credentials":  credentials,
		"consumers":    func(ts *testscript.TestScript, _ bool, args []string) { consumers(ts, verbs, args) },
		"eventually":   eventually,
		"learn-keys":   learnKeys,
		"no-key":       noKey,
		"keys-at-home": keysAtHome,
		"connect":      connect,
		"ask":          ask,
		"servers":      servers,
		"occupy":       occupy,
		"release":      release,

		"watch-processes": watchProcesses,
		"get": func(ts *testscript.TestScript, neg bool, args []string) {
			fetch(ts, neg, http.MethodGet, args[0], "", args[1:]...)
		},
		"post": func(ts *testscript.TestScript, neg bool, args []string) {
			fetch(ts, neg, http.MethodPost, args[0], args[1])
		},
	}
}

// credentials does what a consumer of the etcd-proxy relation does with a bag, and keeps the bag
// for comparison.
func credentials(ts *testscript.TestScript, _ bool, args []string) {
	var bag map[string]string
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &bag))
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	for file, key := range map[string]string{"ca.pem": "client_ca", "cert.pem": "client_cert", "key.pem": "client_key"} {
		ts.Check(os.WriteFile(filepath.Join(dir, file), []byte(bag[key]), 0o600))
	}
	for _, key := range []string{"egress-subnets", "ingress-address", "private-address"} {
		delete(bag, key)
	}
	text, err := json.MarshalIndent(bag, "", "  ")
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, "settings.json"), text, 0o600))
}

// consumers relates many at once.
func consumers(ts *testscript.TestScript, verbs map[string]command, args []string) {
	first, err := strconv.Atoi(args[0])
	ts.Check(err)
	last, err := strconv.Atoi(args[1])
	ts.Check(err)
	for i := first; i <= last; i++ {
		name := fmt.Sprintf("c%d", i)
		verbs["deploy"](ts, false, []string{ts.Getenv("CHARMS") + "/consumer", name})
		verbs["integrate"](ts, false, []string{"etcd:proxy", name + ":etcd"})
	}
}

func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: eventually COMMAND")
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // the script's own
		if !strings.Contains(args[0], "/") {
			cmd = exec.Command("/usr/bin/env", args...) //nolint:gosec // looked up in the script's PATH
		}
		cmd.Dir, cmd.Env = ts.MkAbs("."), []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("WORK")}
		out, err := cmd.CombinedOutput()
		if err == nil {
			fmt.Fprintf(ts.Stdout(), "%s", out)
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not within %v: %v: %s", patience, err, out)
		}
	}
}

// ports are the addresses that a script holds.
type ports map[string]io.Closer

// portsKey is the key under which a script has its ports.
type portsKey struct{}

func occupy(ts *testscript.TestScript, _ bool, args []string) {
	var l io.Closer
	var err error
	if len(args) > 1 && args[1] == "bound" {
		l, err = load.Bind(netip.MustParseAddrPort(args[0]))
	} else {
		l, err = net.Listen("tcp", args[0])
	}
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Value(portsKey{}).(ports)[args[0]] = l
}

func release(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Value(portsKey{}).(ports)[args[0]].Close())
}

func fetch(ts *testscript.TestScript, neg bool, method, url, body string, socket ...string) {
	transport := &http.Transport{DisableKeepAlives: true}
	if len(socket) > 0 {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket[0])
		}
	}
	client := http.Client{Timeout: patience, Transport: transport}
	req, err := http.NewRequest(method, url, strings.NewReader(body)) //nolint:noctx // the client has a time-out
	ts.Check(err)
	resp, err := client.Do(req)
	if err == nil {
		defer resp.Body.Close()
		if _, err = io.Copy(ts.Stdout(), io.LimitReader(resp.Body, 1<<20)); err == nil && resp.StatusCode > 299 {
			err = fmt.Errorf("%s", resp.Status)
		}
	}
	switch slow, ok := errors.AsType[net.Error](err); {
	case err != nil && (!neg || ok && slow.Timeout()): // which does not count as refused
		ts.Fatalf("%s %s: %v", method, url, err)
	case err == nil && neg:
		ts.Fatalf("%s %s: unexpected success", method, url)
	}
}
