package pid1

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// request is a call of systemctl.
type request struct {
	words             []string
	properties        string
	noBlock, now, raw bool
}

// systemctl answers the supported verbs, each for one unit.
func (m *Manager) systemctl(args []string) Reply {
	var r request
	for len(args) > 0 {
		name, value, rest, err := option(args, "--property", "-p")
		args = rest
		switch {
		case err != nil:
		case name == "":
			r.words = append(r.words, value)
		case name == "--property" || name == "-p":
			r.properties = value
		case name == "--no-block":
			r.noBlock = true
		case name == "--now":
			r.now = true
		case name == "--value":
			r.raw = true
		case name == "--quiet", name == "-q", name == "--no-pager":
		default:
			err = fmt.Errorf("unrecognized option '%s'", name)
		}
		if err != nil {
			return refuse(1, "systemctl: %v", err)
		}
	}
	if len(r.words) == 1 && r.words[0] == "daemon-reload" {
		return answer(m.reload())
	}
	if len(r.words) != 2 {
		return refuse(1, "systemctl: only a verb and a unit are known here")
	}
	u, err := m.unit(r.words[1])
	if err != nil {
		return answer(err)
	}
	return u.do(r)
}

func (u *unit) do(r request) Reply {
	switch verb := r.words[0]; verb {
	case "show":
		return u.show(r)
	case "is-active", "is-failed":
		code := 0
		switch {
		case verb == "is-failed" && u.active != failed:
			code = 1
		case verb == "is-active" && u.text == nil && !u.running():
			code = 4
		case verb == "is-active" && u.active != active:
			code = 3
		}
		return Reply{Code: code, Stdout: []byte(u.active + "\n")}
	case "enable", "disable":
		reply := u.enable(verb == "enable")
		if reply.Code != 0 || !r.now {
			return reply
		}
		return u.control(map[string]string{"enable": "start", "disable": "stop"}[verb], !r.noBlock)
	case "reset-failed":
		u.restarts, u.starts, u.result = 0, nil, success
		if u.active == failed {
			u.become(inactive, "dead")
		}
		u.m.forget()
		return Reply{}
	default:
		return u.control(verb, !r.noBlock)
	}
}

// control starts or stops a unit. If block is set, it waits until that is done.
func (u *unit) control(verb string, block bool) Reply {
	if u.text == nil && (verb != "stop" || !u.running()) {
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
		u.stop()
		for block && u.ended && u.running() {
			u.m.changed.Wait()
		}
		return Reply{}
	case "restart":
		u.stop()
		u.start()
	default:
		return refuse(1, "Unknown command verb %s.", verb)
	}
	if block && !u.comesUp() {
		return refuse(1, "Job for %s failed. See \"journalctl -xeu %s\" for details.", u.name, u.name)
	}
	return Reply{}
}

// comesUp waits until the unit's start is complete or has failed, and reports whether it succeeded.
func (u *unit) comesUp() bool {
	for !u.done && u.running() && (u.sub != "auto-restart" || u.ended) {
		u.m.changed.Wait()
	}
	return u.done
}

// enable makes or removes the links that start the unit at boot, and reads unit files again.
func (u *unit) enable(yes bool) Reply {
	path := filepath.Join(u.m.written(), u.name)
	if u.transient() {
		return refuse(1, "Failed to change unit: Unit %s is transient or generated.", u.path)
	}
	if _, err := os.Stat(path); err != nil {
		return refuse(1, "Failed to change unit: Unit file %s does not exist.", u.name)
	}
	if err := u.load(); err != nil {
		return answer(err)
	}
	var errs []error
	for _, link := range u.m.wants(u.name) {
		errs = append(errs, os.Remove(link))
	}
	for _, target := range u.file.wantedBy {
		if yes {
			link := filepath.Join(u.m.written(), target+".wants", u.name)
			errs = append(errs, os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(path, link))
		}
	}
	reply := answer(errors.Join(append(errs, u.m.reload())...))
	if yes && len(u.file.wantedBy) == 0 {
		reply.Stderr = append(reply.Stderr, "The unit files have no installation config.\n"...)
	}
	return reply
}

func (u *unit) show(r request) Reply {
	all := u.properties()
	var out bytes.Buffer
	for name := range strings.SplitSeq(r.properties, ",") {
		value, ok := all[name]
		switch {
		case !ok:
			return refuse(1, "systemctl: property %q is not known here", name)
		case r.raw:
			fmt.Fprintf(&out, "%s\n", value)
		default:
			fmt.Fprintf(&out, "%s=%s\n", name, value)
		}
	}
	return Reply{Stdout: out.Bytes()}
}

func (u *unit) properties() map[string]string {
	yes := map[bool]string{false: "no", true: "yes"}
	loaded, enabled := "loaded", "static"
	switch {
	case u.text == nil:
		loaded, enabled = "not-found", ""
	case u.transient():
		enabled = "transient"
	case len(u.m.wants(u.name)) > 0:
		enabled = "enabled"
	case len(u.file.wantedBy) > 0:
		enabled = "disabled"
	}
	all := map[string]string{
		"Id": u.name, "LoadState": loaded, "ActiveState": u.active, "SubState": u.sub, "Result": u.result,
		"UnitFileState": enabled, "NeedDaemonReload": yes[u.stale()], "Transient": yes[u.transient()],
	}
	if u.isTimer() {
		return all
	}
	pids := map[bool]int{}
	if u.process != nil {
		pids[u.process.control] = u.process.pid
	}
	all["MainPID"], all["ControlPID"] = strconv.Itoa(pids[false]), strconv.Itoa(pids[true])
	all["NRestarts"] = strconv.Itoa(u.restarts)
	all["ExecMainStartTimestampMonotonic"] = strconv.FormatInt(u.started.Microseconds(), 10)
	all["MemoryCurrent"] = memory(pids[false])
	all["ExecCondition"] = u.condition()
	all["ExecMainStatus"] = strconv.Itoa(u.main.code)
	if u.main.killed {
		all["ExecMainStatus"] = strconv.Itoa(int(u.main.sig))
	}
	return all
}

// condition returns what systemctl shows of a service's last condition, as far as it is needed
// here; "" if it has none. The result is forgotten when unit files are read again.
func (u *unit) condition() string {
	n := len(u.file.conditions)
	if n == 0 {
		return ""
	}
	argv := u.file.conditions[n-1].argv
	code, status := "(null)", "0/0"
	if u.asked != nil {
		code, status = "exited", strconv.Itoa(u.asked.code)
	}
	return fmt.Sprintf("{ path=%s ; argv[]=%s ; ignore_errors=no ; code=%s ; status=%s }",
		argv[0], strings.Join(argv, " "), code, status)
}

// memory returns a process's memory as systemd shows a service's. systemd would count all processes
// of the service.
func memory(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(text))
	if pid == 0 || err != nil || len(fields) < 2 {
		return "[not set]"
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		return "[not set]"
	}
	return strconv.Itoa(pages * os.Getpagesize())
}
