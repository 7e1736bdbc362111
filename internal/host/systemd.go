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

// unitTemplate is the unit file. Why it is as it is stands in it.
//
//go:embed unit.service.tmpl
var unitTemplate string

// systemctlTime bounds a call of systemctl, which answers in milliseconds unless systemd itself hangs.
const systemctlTime = 10 * time.Second

// young is how long a process must have lived for its service not to count as failing while it is not ready.
const young = 30 * time.Second

// systemd keeps the unit's one service alive. Verbs may return before they have taken effect.
type systemd struct {
	paths
	run runner

	mu      sync.Mutex
	counted int  // the crashes after which it was asked for their cause
	hungry  bool // the answer
}

func (s *systemd) systemctl(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, systemctlTime)
	defer cancel()
	return s.run(ctx, "systemctl", args...)
}

// notPlain tells what in a unit file would be more than itself: a blank or line break of any script, and what systemd
// quotes, escapes or expands.
func notPlain(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'\\%$;", r) }

func renderUnit(s service) ([]byte, error) {
	for _, part := range append([]string{s.Unit, s.EnvFile, s.Writable, s.User, s.RunDir, s.Group, s.Fence}, s.Argv...) {
		if strings.ContainsFunc(part, notPlain) {
			return nil, fmt.Errorf("cannot write unit file: %q is not plain", part)
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
		s, s.Kind == operator.MemberService, strings.Join(s.Argv, " "), filepath.Join(filepath.Dir(s.Argv[0]), GateName),
		strings.Join(webproxy.Vars(), " "),
	})
	if err != nil {
		return nil, fmt.Errorf("cannot render unit file: %w", err)
	}
	return []byte(b.String()), nil
}

// write sets down what the service runs; it starts nothing and is harmless twice. The zero service, which must have been
// stopped, takes away what was written. The unit file is 0644 as systemd expects: it holds paths only. Whether systemd has
// read it is asked at each control: a charm that died between the two leaves nothing behind.
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

// remove takes away the unit file and what enables it, should "disable" not have.
func (s *systemd) remove(ctx context.Context) error {
	for _, path := range []string{s.unitFile(), s.wanted()} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("cannot remove service: %w", err)
		}
	}
	_, err := s.systemctl(ctx, "daemon-reload")
	return err
}

// written reads back what the unit file says; intact is false if renderUnit would not make it so.
func (s *systemd) written() (written service, intact bool) {
	data, _ := regular.Read(s.unitFile()) // what cannot be read is not what was written
	written = parseUnit(data)
	rendered, err := renderUnit(written)
	return written, err == nil && bytes.Equal(rendered, data)
}

// gateFlag stands before the fence's path in the gate's command line.
const gateFlag = " --fence "

// parseUnit reads back a unit file that renderUnit made.
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
	out, err := s.systemctl(ctx, "show", "--property=LoadState,ActiveState,SubState,MainPID,NRestarts,UnitFileState,"+
		"ExecMainStartTimestampMonotonic,NeedDaemonReload,MemoryCurrent,Result,ExecCondition", s.serviceName())
	if err != nil {
		return nil, err
	}
	return parseProperties(out), nil
}

// parseProperties reads what systemctl show prints.
func parseProperties(text []byte) map[string]string {
	properties := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			properties[key] = value
		}
	}
	return properties
}

// state looks. A service that was never written is the zero state; one that runs on though its unit file is gone, or says
// nothing any more, is what runs.
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
		gated:   p["ActiveState"] == "activating" && pid == 0 && !strings.HasPrefix(p["SubState"], "auto-restart"),
		held:    held(p),
		process: liveProcess(ctx, pid),
	}
	state.crashes, _ = strconv.Atoi(p["NRestarts"]) // systemd counts from zero with each start that it is asked for
	state.age = age(p, monotonic())
	if state.memory, err = strconv.ParseInt(p["MemoryCurrent"], 10, 64); err != nil { // "[not set]", or the largest number
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

// linesOfCrash is how much systemd says of a service that ended by itself and was started again.
const linesOfCrash = 8

// starved reports whether the kernel ended the service for want of memory, at one of its last crashes. Of a service that
// runs again systemd keeps no result; it has said so in the journal. What it said is looked at once a hook.
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
	s.counted, s.hungry = crashes, bytes.Contains(out, []byte("'oom-kill'")) || bytes.Contains(out, []byte("OOM killer"))
	return s.hungry
}

// failing reports whether systemd starts the service again and again. Type=notify keeps a member without quorum
// "activating" for as long as it takes: that alone is no failure. A proxy waits for nobody: it listens, or it cannot.
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

// held is why the service's gate let it not start. Of a condition that is not met systemd keeps the result, and until it reads its
// files again the exit code.
func held(p map[string]string) operator.Hold {
	if p["Result"] != "exec-condition" || p["ActiveState"] != "inactive" {
		return operator.NotHeld
	}
	_, status, _ := strings.Cut(p["ExecCondition"], "; status=")
	end := strings.IndexFunc(status, func(r rune) bool { return r < '0' || r > '9' })
	code, _ := strconv.Atoi(status[:max(end, 0)]) // 0 is not known
	return operator.HoldOf(code)
}

// age is how long ago the main process was started last.
func age(p map[string]string, now time.Duration) time.Duration {
	started, _ := strconv.ParseInt(p["ExecMainStartTimestampMonotonic"], 10, 64)
	return now - time.Duration(started)*time.Microsecond
}

// monotonic is the clock that systemd's monotonic timestamps are on.
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

// waitsFor says what a server that does not answer yet waits for; "" if it does not say.
func (s *systemd) waitsFor(ctx context.Context) string { return awaited(s.journal(ctx)) }

// journal is what the service printed last; "" if it cannot be read.
func (s *systemd) journal(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out, err := s.run(ctx, "journalctl", "--unit="+s.serviceName(), "--lines=200", "--output=cat", "--no-pager", "--quiet")
	if err != nil {
		return ""
	}
	return string(out)
}

// control asks for the verb; one that is already so is no error.
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
	// Back-off and counters begin again: somebody has just looked. No failed state to reset is no error of ours.
	_, _ = s.systemctl(ctx, "reset-failed", unit)
	_, err = s.systemctl(ctx, string(v), "--no-block", unit)
	return errors.Join(enabled, err)
}

// end stops the service and disables it at boot, one that waits to be started again too. What runs, runs on when its unit
// file is taken away.
func (s *systemd) end(ctx context.Context, written bool, active string) error {
	var disabled, stopped error
	if written {
		_, disabled = s.systemctl(ctx, "disable", s.serviceName())
	}
	if written || (active != "" && active != "inactive") {
		_, stopped = s.systemctl(ctx, "stop", "--no-block", s.serviceName())
		_, _ = s.systemctl(ctx, "reset-failed", s.serviceName()) // one that failed before would be found failing again
	}
	return errors.Join(disabled, stopped)
}
