package host

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
)

// cause finds the reason for a service's death in the last lines of its log, which come from
// systemd's journal. It takes the last run that gives a reason. It passes over a run that has not
// ended, and one that only reports what followed from its end.
func cause(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	for _, run := range slices.Backward(runs(lines)) {
		if why := causeOf(run); why != "" {
			return cut(why)
		}
	}
	return cut(lines[len(lines)-1])
}

// awaited finds in the last lines of a log what a running server waits for before it serves: a lock
// on its database. etcd reports this every ten seconds, at level info (storage/backend.go). awaited
// returns "" if the log has no such line.
func awaited(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	var entry entry
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &entry); err == nil &&
		strings.Contains(entry.Msg, "flocked by another process") {
		return cut(entry.Msg)
	}
	return ""
}

// runs splits a log at the lines in which systemd reports that it starts the service, or that the
// service ended.
func runs(lines []string) [][]string {
	var out [][]string
	begin := 0
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "Starting "):
			out, begin = append(out, lines[begin:i]), i
		case ended(line):
			out, begin = append(out, lines[begin:i+1]), i+1
		}
	}
	return append(out, lines[begin:])
}

// ended reports whether the line is systemd's report that the service ended by itself.
func ended(line string) bool {
	return strings.Contains(line, ".service: Main process exited, ")
}

// causeOf returns why a run ended, or "" if the run does not say. In order of preference the cause
// is: the reason that etcd gives for its end; that the process was killed; etcd's first complaint;
// the first line that is not a log line, such as one about an unknown flag. What systemd says about
// the end comes last.
func causeOf(run []string) string {
	var fatal, killed, complaint, words, end string
	first := func(s *string, line string) {
		if *s == "" {
			*s = line
		}
	}
	for _, line := range run {
		var entry entry
		switch {
		case json.Unmarshal([]byte(line), &entry) == nil:
			switch {
			case entry.follows():
			case entry.Level == "fatal" || entry.Level == "panic":
				first(&fatal, entry.String())
			case entry.Level == "error" ||
				entry.Msg == "failed to verify flags": // etcd logs this as a warning, and exits
				first(&complaint, entry.String())
			}
		case strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "):
			first(&fatal, line)
		case ended(line):
			end = line
			if strings.Contains(line, "code=killed") || strings.Contains(line, "code=dumped") {
				killed = line
			}
		case !routine(line):
			first(&words, line)
		}
	}
	for _, why := range []string{fatal, killed, complaint, words, end} {
		if why != "" {
			return why
		}
	}
	return ""
}

// entry is a line of etcd's log (zap).
type entry struct{ Level, Msg, Error string }

func (e entry) String() string {
	if e.Msg == "discovery failed" && e.Error != "" {
		return e.Error // etcd uses this message for every error that keeps it from starting
	}
	return strings.TrimSuffix(e.Msg+": "+e.Error, ": ")
}

// follows reports whether the entry is only a consequence: the server is already ending, and its
// parts complain of each other's end, often before etcd logs the reason.
func (e entry) follows() bool {
	for _, what := range []string{
		net.ErrClosed.Error(), "http: Server closed", "mux: server closed",
		"server is stopping", "server stopped", "context canceled",
	} {
		if strings.HasSuffix(e.Error, what) {
			return true
		}
	}
	return false
}

// routine reports whether a line that is not etcd's says nothing about a cause: systemd's report of
// any start or end, the proxy's lines (slog) while all goes well, or what the gate was told before
// it let the server start.
func routine(line string) bool {
	if strings.HasPrefix(line, GateName+": ") {
		return !strings.Contains(line, staysDown)
	}
	if strings.TrimSpace(line) == "" ||
		strings.HasPrefix(line, "time=") && !strings.Contains(line, " level=ERROR ") {
		return true
	}
	for _, begin := range []string{
		"Starting ", "Started ", "Stopping ", "Stopped ", "Failed to start ",
	} {
		if strings.HasPrefix(line, begin) {
			return true
		}
	}
	for _, of := range []string{
		"Failed with result ", "Scheduled restart job", "Consumed ", "Deactivated ",
	} {
		if strings.Contains(line, ".service: "+of) {
			return true
		}
	}
	return false
}

func cut(line string) string {
	const most = 300
	line = strings.ToValidUTF8(strings.TrimSpace(line), "?")
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return line
}
