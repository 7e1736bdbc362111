package pid1

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// transient is what systemd-run makes: a service, and a timer if there are lines for one.
type transient struct {
	name                 string
	unit, service, timer []string // lines of unit files
	noBlock, quiet       bool
	argv                 []string
}

// triggers maps the options that ask for a timer to the settings in its file.
var triggers = map[string]string{
	"--on-active": "OnActiveSec", "--on-boot": "OnBootSec", "--on-startup": "OnStartupSec",
	"--on-unit-active": "OnUnitActiveSec", "--on-unit-inactive": "OnUnitInactiveSec",
	"--on-calendar": "OnCalendar",
}

// systemdRun makes a transient unit and starts it.
func (m *Manager) systemdRun(args []string) Reply {
	t, err := readRun(args)
	if err == nil {
		err = t.findProgram()
	}
	if err != nil {
		return refuse(1, "%v", err)
	}
	name := t.name + ".service"
	if len(t.timer) > 0 {
		name = t.name + ".timer"
	}
	for _, name := range []string{t.name + ".service", t.name + ".timer"} {
		u, err := m.unit(name)
		if err == nil && (u.text != nil || u.running()) {
			return refuse(1,
				"Failed to start transient unit: Unit %s was already loaded or has a fragment file.", name)
		}
	}
	if err := t.write(m); err != nil {
		return refuse(1, "Failed to start transient unit: %v", err)
	}
	u, err := m.unit(name)
	if err != nil {
		return answer(err)
	}
	u.start()
	if !t.noBlock && !u.comesUp() {
		return refuse(1, "Job for %s failed. See \"journalctl -xeu %s\" for details.", name, name)
	}
	if t.quiet {
		return Reply{}
	}
	if len(t.timer) > 0 {
		return Reply{Stderr: fmt.Appendf(nil,
			"Running timer as unit: %s\nWill run service as unit: %s.service\n", name, t.name)}
	}
	return Reply{Stderr: fmt.Appendf(nil, "Running as unit: %s\n", name)}
}

// readRun parses the command line; its options end where the command begins.
func readRun(args []string) (transient, error) {
	t := transient{name: fmt.Sprintf("run-r%016x", rand.Uint64())} //nolint:gosec // a name, no secret
	valued := []string{
		"--unit", "-u", "--property", "-p", "--description", "--setenv", "-E", "--service-type",
		"--uid", "--gid", "--nice", "--working-directory", "--slice", "--timer-property",
	}
	for name := range triggers {
		valued = append(valued, name)
	}
	for len(args) > 0 {
		if args[0] == "--" {
			t.argv = args[1:]
			break
		}
		name, value, rest, err := option(args, valued...)
		if err == nil && name == "" {
			t.argv = args
			break
		}
		if err == nil && strings.Contains(value, "\n") && name != "--setenv" && name != "-E" {
			err = fmt.Errorf("a line break in %s is not known here", name)
		}
		if err == nil {
			err = t.set(name, value)
		}
		if err != nil {
			return t, fmt.Errorf("systemd-run: %w", err)
		}
		args = rest
	}
	if len(t.argv) == 0 {
		return t, errors.New("systemd-run: command line to execute required")
	}
	return t, nil
}

func (t *transient) set(name, value string) error {
	switch name {
	case "--unit", "-u":
		full, err := fullName(value)
		t.name = strings.TrimSuffix(full, filepath.Ext(full))
		return err
	case "--property", "-p":
		key, _, said := strings.Cut(value, "=")
		if !said || strings.Contains(value, `\`) {
			return fmt.Errorf("not an assignment that is known here: %s", value)
		}
		if slices.Contains([]string{
			"After", "Before", "CollectMode", "StartLimitBurst", "StartLimitIntervalSec", "Wants",
		}, key) {
			t.unit = append(t.unit, value)
		} else {
			t.service = append(t.service, value)
		}
	case "--timer-property":
		t.timer = append(t.timer, value)
	case "--description":
		t.unit = append(t.unit, "Description="+value)
	case "--collect", "-G":
		t.unit = append(t.unit, "CollectMode=inactive-or-failed")
	case "--setenv", "-E":
		if !strings.Contains(value, "=") {
			return errors.New("a variable without a value is not known here")
		}
		t.service = append(t.service, "Environment="+quote(value))
	case "--service-type":
		t.service = append(t.service, "Type="+value)
	case "--remain-after-exit", "-r":
		t.service = append(t.service, "RemainAfterExit=yes")
	case "--working-directory":
		t.service = append(t.service, "WorkingDirectory="+value)
	case "--no-block":
		t.noBlock = true
	case "--quiet", "-q":
		t.quiet = true
	case "--uid", "--gid", "--nice", "--slice", "--no-ask-password":
	default:
		key, ok := triggers[name]
		if !ok {
			return fmt.Errorf("unrecognized option '%s'", name)
		}
		t.timer = append(t.timer, key+"="+value)
	}
	return nil
}

// findProgram makes the program's path absolute.
func (t *transient) findProgram() error {
	program := t.argv[0]
	dirs := filepath.SplitList(searchPath)
	if filepath.IsAbs(program) {
		dirs = []string{"/"}
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, program)
		if found, err := exec.LookPath(path); err == nil {
			t.argv = slices.Concat([]string{found}, t.argv[1:])
			return nil
		}
	}
	return fmt.Errorf("cannot find executable %s: %w", program, fs.ErrNotExist)
}

// write writes the unit files, where systemd keeps those of transient units too.
func (t *transient) write(m *Manager) error {
	command := make([]string, 0, len(t.argv))
	for _, word := range t.argv {
		command = append(command, quote(word))
	}
	files := map[string][]string{
		t.name + ".service": slices.Concat([]string{"[Unit]"}, t.unit, []string{"[Service]"}, t.service,
			[]string{"ExecStart=" + strings.Join(command, " ")}),
	}
	if len(t.timer) > 0 {
		files[t.name+".timer"] = slices.Concat(
			[]string{"[Timer]"}, t.timer, []string{"RemainAfterElapse=no"})
	}
	var errs []error
	for name, lines := range files {
		_, err := parse(name, []byte(strings.Join(lines, "\n")))
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	errs = append(errs, os.MkdirAll(m.transient(), 0o755))
	for name, lines := range files {
		text := []byte(strings.Join(lines, "\n") + "\n")
		//nolint:gosec // as systemd's
		errs = append(errs, os.WriteFile(filepath.Join(m.transient(), name), text, 0o644))
	}
	return errors.Join(errs...)
}
