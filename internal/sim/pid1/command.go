package pid1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Reply is a command's output and exit code.
type Reply struct {
	Code           int
	Stdout, Stderr []byte
}

func refuse(code int, format string, args ...any) Reply {
	return Reply{Code: code, Stderr: fmt.Appendf(nil, format+"\n", args...)}
}

func answer(err error) Reply {
	if err != nil {
		return refuse(1, "%v", err)
	}
	return Reply{}
}

// Run runs one of Commands as a process would; for a failure the error holds the command's message.
func (m *Manager) Run(_ context.Context, name string, args ...string) ([]byte, error) {
	r := m.Command(name, args)
	if r.Code != 0 {
		return r.Stdout, fmt.Errorf("%s %s: %s: exit status %d", name, strings.Join(args, " "),
			bytes.TrimSpace(r.Stderr), r.Code)
	}
	return r.Stdout, nil
}

// Command answers one of Commands. It may wait until a unit has changed its state.
func (m *Manager) Command(name string, args []string) Reply {
	do := map[string]func([]string) Reply{
		"systemctl": m.systemctl, "systemd-run": m.systemdRun, "journalctl": m.journalctl,
	}[name]
	if do == nil {
		return refuse(127, "%s: not found", name)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.off {
		return refuse(1, "System has not been booted with systemd as init system (PID 1). Can't operate.")
	}
	return do(args)
}

// option splits the first of args into an option and its value, which may be the next argument.
// valued names the options that take a value, the short ones with a dash. For a word that is not an
// option it returns no name.
func option(args []string, valued ...string) (name, value string, rest []string, err error) {
	arg := args[0]
	if len(arg) < 2 || arg[0] != '-' {
		return "", arg, args[1:], nil
	}
	name, value, given := strings.Cut(arg, "=")
	if !strings.HasPrefix(arg, "--") {
		name, value, given = arg[:2], arg[2:], len(arg) > 2
	}
	for _, v := range valued {
		switch {
		case name != v:
		case given:
			return name, value, args[1:], nil
		case len(args) < 2:
			return "", "", nil, fmt.Errorf("option '%s' requires an argument", name)
		default:
			return name, args[1], args[2:], nil
		}
	}
	if given {
		return "", "", nil, fmt.Errorf("unrecognized option '%s'", arg)
	}
	return name, "", args[1:], nil
}

// said reports whether a line of a unit's journal is systemd's own, and not its process's.
func said(unit string, line []byte) bool {
	for _, begin := range []string{
		unit + ": ", "Starting ", "Started ", "Stopping ", "Stopped ", "Condition check resulted in ",
	} {
		if bytes.HasPrefix(line, []byte(begin)) {
			return true
		}
	}
	return false
}

// journalctl prints the last lines of a unit's journal, without the prefix of each line.
func (m *Manager) journalctl(args []string) Reply {
	unit, most, own := "", -1, false
	for len(args) > 0 {
		name, value, rest, err := option(args,
			"--unit", "-u", "--lines", "-n", "--output", "-o", "--identifier", "-t")
		args = rest
		switch {
		case err != nil:
		case name == "--unit" || name == "-u":
			unit, err = fullName(value)
		case name == "--lines" || name == "-n":
			most, err = strconv.Atoi(value)
		case (name == "--identifier" || name == "-t") && value == "systemd":
			own = true
		case (name == "--output" || name == "-o") && value == "cat",
			name == "--no-pager", name == "--quiet", name == "-q":
		default:
			err = fmt.Errorf("%s%s is not known here", name, value)
		}
		if err != nil {
			return refuse(1, "journalctl: %v", err)
		}
	}
	if unit == "" {
		return refuse(1, "journalctl: only the journal of one unit is known here")
	}
	text, err := os.ReadFile(m.Journal(unit))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return answer(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if own {
		lines = slices.DeleteFunc(lines, func(line []byte) bool {
			return len(line) > 0 && !said(unit, line)
		})
	}
	if n := len(lines); most >= 0 && n > most+1 { // the last is empty
		lines = lines[n-most-1:]
	}
	return Reply{Stdout: bytes.Join(lines, nil)}
}
