package host

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"time"

	"golang.org/x/sys/unix"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
	"github.com/juju-charms/etcd-charm/internal/webproxy"
)

// unitTemplate is the unit file. Its comments say why it is as it is.
//
//go:embed unit.service.tmpl
var unitTemplate string

// systemctlTime bounds a call of systemctl, which answers in milliseconds unless systemd itself
// hangs.
const systemctlTime = 10 * time.Second

// young is how long a process must have lived before its service, though not ready, no longer
// counts as failing.
const young = 30 * time.Second

// systemd controls the unit's one service. Verbs may return before they have taken effect.
type systemd struct {
	paths
	run runner

	mu      sync.Mutex
	counted int  // the number of crashes when their cause was last looked for
	hungry  bool // whether one was due to lack of memory
}

func (s *systemd) systemctl(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, systemctlTime)
	defer cancel()
	return s.run(ctx, "systemctl", args...)
}

// notPlain reports whether a rune would mean something in a unit file: white space of any script,
// and what systemd quotes, escapes or expands.
func notPlain(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'\\%$;", r) }

func renderUnit(s service) ([]byte, error) {
	for _, part := range append(
		[]string{s.Unit, s.EnvFile, s.Writable, s.User, s.RunDir, s.Group, s.Fence}, s.Argv...,
	) {
		if strings.ContainsFunc(part, notPlain) {
			return nil, fmt.Errorf("cannot write unit file: %q has special characters", part)
		}
	}
	if len(s.Argv) == 0 || slices.Contains(s.Argv, "") {
		return nil, errors.New("cannot write unit file: an argument is empty")
	}
	t, err := template.New("unit").Parse(unitTemplate)
	if err != nil {
		return nil, fmt.Errorf("cannot parse unit template: %w", err)
	}
	var b strings.Builder
	err = t.Execute(&b, struct {
		service
		Member  bool
		Command string
		Gate    string
		Unset   string
	}{
		s, s.Kind == operator.MemberService, strings.Join(s.Argv, " "),
		filepath.Join(filepath.Dir(s.Argv[0]), GateName), strings.Join(webproxy.Vars(), " "),
	})
	if err != nil {
		return nil, fmt.Errorf("cannot render unit file: %w", err)
	}
	return []byte(b.String()), nil
}

// write writes the unit file; it starts nothing and is harmless twice. The zero service, which must
// have been stopped, removes the unit file. The file is 0644 as systemd expects: it holds only
// paths. control checks each time whether systemd has read the file, so it does no harm if the
// charm dies between the two.
func (s *systemd) write(ctx context.Context, service service) error {
	if service.Kind == operator.NoService {
		return s.remove(ctx)
	}
	data, err := renderUnit(service)
	if err != nil {
		return err
	}
	return writeFiles(file{path: s.unitFile(), data: data, mode: public})
}

// remove removes the unit file, and the link that enables it if "disable" did not.
func (s *systemd) remove(ctx context.Context) error {
	for _, path := range []string{s.unitFile(), s.wanted()} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("cannot remove service: %w", err)
		}
	}
	_, err := s.systemctl(ctx, "daemon-reload")
	return err
}

// written reads the unit file back; intact is false if renderUnit would write another one.
func (s *systemd) written() (written service, intact bool) {
	data, _ := regular.Read(s.unitFile()) // what cannot be read is not what was written
	written = parseUnit(data)
	rendered, err := renderUnit(written)
	return written, err == nil && bytes.Equal(rendered, data)
}

// gateFlag precedes the fence's path in the gate's command line.
const gateFlag = " --fence "

// parseUnit reads a unit file that renderUnit made.
func parseUnit(data []byte) service {
	var out service
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "Description":
			out.Unit = value[strings.LastIndexByte(value, ' ')+1:]
		case "ExecStart":
			out.Argv = strings.Fields(value)
		case "ExecCondition":
			_, out.Fence, _ = strings.Cut(value, gateFlag)
		case "EnvironmentFile":
			out.EnvFile = value
		case "User":
			out.User = value
		case "ReadWritePaths":
			out.Writable = value
		case "RuntimeDirectory":
			out.RunDir = value
		case "SupplementaryGroups":
			out.Group = value
		}
	}
	out.Kind = kindOf(out.Argv)
	return out
}

func (s *systemd) show(ctx context.Context) (map[string]string, error) {
	out, err := s.systemctl(ctx, "show",
		"--property=LoadState,ActiveState,SubState,MainPID,NRestarts,UnitFileState,"+
			"ExecMainStartTimestampMonotonic,NeedDaemonReload,MemoryCurrent,Result,ExecCondition",
		s.serviceName())
	if err != nil {
		return nil, err
	}
	return parseProperties(out), nil
}

// parseProperties parses the output of systemctl show.
func parseProperties(text []byte) map[string]string {
	properties := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			properties[key] = value
		}
	}
	return properties
}

// state looks at the service. A service that was never written is the zero state. If a process runs
// on although its unit file is gone or empty, state returns what that process runs.
func (s *systemd) state(ctx context.Context) (serviceState, error) {
	written, intact := s.written()
	p, err := s.show(ctx)
	pid, _ := strconv.Atoi(p["MainPID"])
	if written.Kind == operator.NoService {
		if err != nil || pid == 0 {
			return serviceState{}, nil //nolint:nilerr // nothing is written, so nothing is known to look for
		}
		written.Argv = arguments(pid)
		written.Kind = kindOf(written.Argv)
	}
	if err != nil {
		return serviceState{}, err
	}
	state := serviceState{
		service: written,
		intact:  intact,
		enabled: strings.HasPrefix(p["UnitFileState"], "enabled"),
		failing: failing(p, monotonic(), written.Kind),
		gated: p["ActiveState"] == "activating" && pid == 0 &&
			!strings.HasPrefix(p["SubState"], "auto-restart"),
		held:    held(p),
		process: liveProcess(ctx, pid),
	}
	// systemd counts from zero with each start that it is asked for
	state.crashes, _ = strconv.Atoi(p["NRestarts"])
	if state.process.alive() {
		state.age = age(p, monotonic())
	}
	// "[not set]", or the largest number
	if state.memory, err = strconv.ParseInt(p["MemoryCurrent"], 10, 64); err != nil {
		state.memory = 0
	}
	if state.failing {
		state.log = s.cause(ctx)
	}
	if state.crashes > 0 {
		state.starved = s.starved(ctx, state.crashes)
	}
	return state, nil
}

// linesOfCrash is how many lines systemd logs when a service has ended by itself and is started
// again.
const linesOfCrash = 8

// starved reports whether the kernel ended the service for lack of memory, at one of its last
// crashes. systemd keeps no result for a service that runs again, so starved reads systemd's lines
// in the journal. It reads them once for each number of crashes.
func (s *systemd) starved(ctx context.Context, crashes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if crashes == s.counted {
		return s.hungry
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out, err := s.run(ctx, "journalctl", "--unit="+s.serviceName(), "--identifier=systemd",
		"--lines="+strconv.Itoa(linesOfCrash*min(crashes, 100)), "--output=cat", "--no-pager", "--quiet")
	if err != nil {
		return false
	}
	s.counted, s.hungry = crashes,
		bytes.Contains(out, []byte("'oom-kill'")) || bytes.Contains(out, []byte("OOM killer"))
	return s.hungry
}

// failing reports whether systemd starts the service again and again. Type=notify keeps a member
// without quorum "activating" for as long as that lasts, so that state alone does not mean failing.
// A proxy waits for no other unit: it can listen, or it cannot.
func failing(p map[string]string, now time.Duration, kind operator.ServiceKind) bool {
	if p["ActiveState"] == "failed" || strings.HasPrefix(p["SubState"], "auto-restart") {
		return true
	}
	restarts, _ := strconv.Atoi(p["NRestarts"])
	enough := 2
	if kind == operator.ProxyService {
		enough = 1
	}
	return p["ActiveState"] == "activating" && restarts >= enough && age(p, now) < young
}

// held returns why the service's gate kept it from starting. systemd keeps the result of a
// condition that was not met and, until it reloads its files, the exit code.
func held(p map[string]string) operator.Hold {
	if p["Result"] != "exec-condition" || p["ActiveState"] != "inactive" {
		return operator.NotHeld
	}
	_, status, _ := strings.Cut(p["ExecCondition"], "; status=")
	end := strings.IndexFunc(status, func(r rune) bool { return r < '0' || r > '9' })
	code, _ := strconv.Atoi(status[:max(end, 0)]) // 0 means not known
	return operator.HoldOf(code)
}

// age returns how long ago the main process was last started.
func age(p map[string]string, now time.Duration) time.Duration {
	started, _ := strconv.ParseInt(p["ExecMainStartTimestampMonotonic"], 10, 64)
	return now - time.Duration(started)*time.Microsecond
}

// monotonic returns the time on the clock of systemd's monotonic timestamps.
func monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

func (s *systemd) cause(ctx context.Context) string {
	out := s.journal(ctx)
	if out == "" {
		return "see journalctl --unit=" + s.serviceName()
	}
	return cause(out)
}

// waitsFor returns what a server that does not answer yet waits for; "" if its log does not say.
func (s *systemd) waitsFor(ctx context.Context) string { return awaited(s.journal(ctx)) }

// journal returns what the service printed last; "" if it cannot be read.
func (s *systemd) journal(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out, err := s.run(ctx, "journalctl", "--unit="+s.serviceName(),
		"--lines=200", "--output=cat", "--no-pager", "--quiet")
	if err != nil {
		return ""
	}
	return string(out)
}

// control carries out the verb; it is no error if the service is already in that state.
func (s *systemd) control(ctx context.Context, v verb) error {
	unit := s.serviceName()
	p, err := s.show(ctx)
	if err != nil {
		return err
	}
	if p["NeedDaemonReload"] == "yes" || p["LoadState"] == "not-found" {
		if _, err := s.systemctl(ctx, "daemon-reload"); err != nil {
			return err
		}
	}
	_, err = os.Stat(s.unitFile())
	written := !errors.Is(err, os.ErrNotExist)
	if v == stopVerb {
		return s.end(ctx, written, p["ActiveState"])
	}
	if !written {
		return errors.New("no service is written")
	}
	_, enabled := s.systemctl(ctx, "enable", unit)
	// Back-off and counters begin again, because somebody has just looked. If there is no failed
	// state to reset, the error does not matter.
	_, _ = s.systemctl(ctx, "reset-failed", unit)
	_, err = s.systemctl(ctx, string(v), "--no-block", unit)
	return errors.Join(enabled, err)
}

// end stops the service and disables it at boot. It also stops one that only waits for its next
// automatic start. This comes before the unit file is removed, because a process outlives its unit
// file.
func (s *systemd) end(ctx context.Context, written bool, active string) error {
	var disabled, stopped error
	if written {
		_, disabled = s.systemctl(ctx, "disable", s.serviceName())
	}
	if written || (active != "" && active != "inactive") {
		_, stopped = s.systemctl(ctx, "stop", "--no-block", s.serviceName())
		// an old failure would make the next look report it as failing
		_, _ = s.systemctl(ctx, "reset-failed", s.serviceName())
	}
	return errors.Join(disabled, stopped)
}
