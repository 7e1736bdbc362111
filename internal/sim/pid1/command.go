package pid1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Reply is what a command prints and exits with.
type Reply struct {
	Code           int
	Stdout, Stderr []byte
}

func refuse(code int, format string, args ...any) Reply {
	return Reply{Code: code, Stderr: fmt.Appendf(nil, format+"\n", args...)}
}

// Run runs one of Commands as a process would: the error holds what it said of a failure.
func (m *Manager) Run(_ context.Context, name string, args ...string) ([]byte, error) {
	r := m.Command(name, args)
	if r.Code != 0 {
		return r.Stdout, fmt.Errorf("%s %s: %s: exit status %d", name, strings.Join(args, " "),
			bytes.TrimSpace(r.Stderr), r.Code)
	}
	return r.Stdout, nil
}

// Command answers one of Commands.
func (m *Manager) Command(name string, args []string) Reply {
	switch {
	case name == "systemctl":
		return m.systemctl(args)
	case name == "journalctl":
		return m.journalctl(args)
	default:
		return refuse(127, "%s: not found", name)
	}
}

// systemctl answers the verbs that are known, each with one unit.
func (m *Manager) systemctl(args []string) Reply {
	var words []string
	block, properties := true, ""
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--no-block":
			block = false
		case arg == "-p" && i+1 < len(args):
			i++
			properties = args[i]
		case strings.HasPrefix(arg, "--property="):
			properties = strings.TrimPrefix(arg, "--property=")
		case arg == "--quiet", arg == "-q":
		case strings.HasPrefix(arg, "-"):
			return refuse(1, "systemctl: unrecognized option '%s'", arg)
		default:
			words = append(words, arg)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.off {
		return refuse(1, "System has not been booted with systemd as init system (PID 1). Can't operate.")
	}
	if len(words) == 1 && words[0] == "daemon-reload" {
		return answer(m.reload())
	}
	if len(words) != 2 {
		return refuse(1, "systemctl: only a verb and a unit are known here")
	}
	u, err := m.unit(words[1])
	if err != nil {
		return answer(err)
	}
	return u.do(words[0], properties, block)
}

func answer(err error) Reply {
	if err != nil {
		return refuse(1, "%v", err)
	}
	return Reply{}
}

func (u *unit) do(verb, properties string, block bool) Reply {
	switch verb {
	case "show":
		return u.show(properties)
	case "is-active":
		code := 0
		if u.active != active {
			code = 3
		}
		return Reply{Code: code, Stdout: []byte(u.active + "\n")}
	case "enable", "disable":
		return u.enable(verb == "enable")
	case "reset-failed":
		u.restarts, u.result = 0, success
		if u.active == failed {
			u.become(inactive, "dead")
		}
		return Reply{}
	}
	if u.text == nil && !(verb == "stop" && u.running()) {
		what := "found"
		if verb == "stop" {
			what = "loaded"
		}
		return refuse(5, "Failed to %s %s: Unit %s not %s.", verb, u.name, u.name, what)
	}
	switch verb {
	case "start":
		u.start()
	case "stop":
		u.again = false
		u.stop()
	case "restart":
		u.stop()
		u.start()
	default:
		return refuse(1, "Unknown command verb %s.", verb)
	}
	for block && (u.ended && u.running() || u.active == activating && u.sub == "start") {
		u.m.changed.Wait()
	}
	if block && verb != "stop" && u.active != active {
		return refuse(1, "Job for %s failed. See \"journalctl -xeu %s\" for details.", u.name, u.name)
	}
	return Reply{}
}

// enable makes or removes the link that starts the unit at boot, and reads unit files again.
func (u *unit) enable(yes bool) Reply {
	path, link := u.m.unitFile(u.name), u.m.wanted(u.name)
	if _, err := os.Stat(path); err != nil {
		return refuse(1, "Failed to change unit: Unit file %s does not exist.", u.name)
	}
	err := os.Remove(link)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if yes {
		err = errors.Join(err, os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(path, link))
	}
	return answer(errors.Join(err, u.m.reload()))
}

func (u *unit) show(properties string) Reply {
	loaded, enabled, stale := "loaded", "disabled", "no"
	if u.text == nil {
		loaded, enabled = "not-found", ""
	} else if _, err := os.Lstat(u.m.wanted(u.name)); err == nil {
		enabled = "enabled"
	}
	if u.stale() {
		stale = "yes"
	}
	all := map[string]string{
		"Id": u.name, "LoadState": loaded, "ActiveState": u.active, "SubState": u.sub, "Result": u.result,
		"MainPID": strconv.Itoa(u.pid), "NRestarts": strconv.Itoa(u.restarts), "UnitFileState": enabled,
		"ExecMainStartTimestampMonotonic": strconv.FormatInt(u.started.Microseconds(), 10), "NeedDaemonReload": stale,
	}
	var out bytes.Buffer
	for name := range strings.SplitSeq(properties, ",") {
		value, ok := all[name]
		if !ok {
			return refuse(1, "systemctl: property %q is not known here", name)
		}
		fmt.Fprintf(&out, "%s=%s\n", name, value)
	}
	return Reply{Stdout: out.Bytes()}
}

// journalctl prints the last lines of a unit's journal, without what stands before each.
func (m *Manager) journalctl(args []string) Reply {
	name, most := "", -1
	for i := 0; i < len(args); i++ {
		key, value, said := strings.Cut(args[i], "=")
		if (key == "-u" || key == "-n" || key == "-o") && i+1 < len(args) {
			i++
			value, said = args[i], true
		}
		var err error
		switch {
		case (key == "--unit" || key == "-u") && said:
			name = value
		case (key == "--lines" || key == "-n") && said:
			most, err = strconv.Atoi(value)
		case (key == "--output" || key == "-o") && value == "cat", key == "--no-pager", key == "--quiet", key == "-q":
		default:
			return refuse(1, "journalctl: option %q is not known here", args[i])
		}
		if err != nil {
			return answer(err)
		}
	}
	if name == "" || filepath.Base(name) != name {
		return refuse(1, "journalctl: only the journal of one unit is known here")
	}
	if filepath.Ext(name) == "" {
		name += ".service"
	}
	text, err := os.ReadFile(m.journal(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return answer(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if n := len(lines); most >= 0 && n > most+1 { // the last is empty
		lines = lines[n-most-1:]
	}
	return Reply{Stdout: bytes.Join(lines, nil)}
}
