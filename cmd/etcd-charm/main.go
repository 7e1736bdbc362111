// Command etcd-charm is the charm and everything that it runs. Called by the name of a hook or
// action it is the charm; called as etcd, etcdctl or etcdutl it is that program; under its own name
// it is the proxy, and does long work. It only wires: all decisions are made in the packages that
// it calls.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/juju-charms/etcd-charm/internal/charm"
	"github.com/juju-charms/etcd-charm/internal/diagnosis"
	"github.com/juju-charms/etcd-charm/internal/host"
	"github.com/juju-charms/etcd-charm/internal/juju"
	"github.com/juju-charms/etcd-charm/internal/server"
	"github.com/juju-charms/etcd-charm/internal/webproxy"
)

// What the linker stamps (-X main.version=…): the charm's version, and which server and which proxy
// are in it (internal/stamp); "" is not known.
//
//nolint:gochecknoglobals // the linker sets them
var (
	version = "unstamped"
	stamp   string
)

// rootVar names the directory that stands for the machine's root directory; it is empty in
// production.
const rootVar = "ETCD_CHARM_ROOT"

// deadline bounds one hook or action.
const deadline = 120 * time.Second

func main() { os.Exit(run()) }

// run does what the name asks for under which the program was called, and returns the exit code.
// The link's name counts, not its target's.
func run() int {
	switch filepath.Base(filepath.Dir(os.Args[0])) {
	case "hooks", "actions":
		return runCharm()
	}
	switch filepath.Base(os.Args[0]) {
	case "etcd":
		server.Main(os.Args)
		return 0
	case "etcdctl":
		return etcdctl()
	case "etcdutl":
		return execute(etcdutlCommand())
	case host.GateName:
		return gate(os.Args[1:])
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return execute(ownCommand(ctx))
}

// gate is what systemd runs before each start of a member. If the gate itself fails it returns 0,
// because an error would keep the member down.
func gate(args []string) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	webproxy.Unset()
	cmd := gateCommand(&code)
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(ctx); err != nil {
		return 0
	}
	return code
}

// runCharm runs one hook or action on this machine.
func runCharm() int {
	webproxy.Unset()
	// A hook is short-lived, so no garbage is collected unless the process needs more than 256 MiB.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(256 << 20)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()

	tools := juju.Exec{}
	recorder := diagnosis.NewRecorder(juju.NewLogHandler(tools, os.Stderr), time.Now())
	log := slog.New(recorder)
	slog.SetDefault(log)
	hostname, err := os.Hostname()
	if err != nil {
		log.WarnContext(ctx, "cannot read the hostname", "error", err)
	}
	machine := unitMachine{host.New(host.Options{
		Root: os.Getenv(rootVar), Unit: os.Getenv("JUJU_UNIT_NAME"),
		Log: log, Stamp: stamp, Progress: shown(tools, log),
	})}
	c := charm.Charm{
		Tools: tools, Find: juju.Path{}, Env: os.Getenv, Hostname: hostname, Log: log,
		Machine: machine, Now: time.Now, NewAuthority: machine.NewAuthority,
	}
	err = c.Run(ctx, os.Args[0])
	if hook, did := recorder.Hook(filepath.Base(os.Args[0]), time.Now(), err); did {
		machine.Remember(context.WithoutCancel(ctx), hook)
	}
	if err != nil {
		// Juju logs what a hook prints, and attaches what an action prints to its result.
		fmt.Fprintln(os.Stderr, "etcd-charm:", err)
		return 1
	}
	return 0
}

// shown sends progress to the user who waits for the action; outside an action, to the log.
func shown(tools juju.Tools, log *slog.Logger) func(context.Context, string) {
	return func(ctx context.Context, text string) {
		if os.Getenv("JUJU_ACTION_NAME") == "" || juju.LogAction(ctx, tools, text) != nil {
			log.InfoContext(ctx, "progress", "of", text)
		}
	}
}
