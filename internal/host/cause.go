package host

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
)

// cause finds in a log's last lines why a service died: what its last run that says so ended for. The log is of
// systemd's journal. A run that goes on at present, or that only says what followed from its end, is passed over.
func cause(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	for _, run := range slices.Backward(runs(lines)) {
		if why := causeOf(run); why != "" {
			return cut(why)
		}
	}
	return cut(lines[len(lines)-1])
}

// awaited finds in a log's last lines what a server that goes on waits for before it serves: a lock on its database. etcd says so
// every ten seconds (storage/backend.go), as an information; "" is that it says nothing of the kind.
func awaited(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	var entry entry
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &entry); err == nil && strings.Contains(entry.Msg, "flocked by another process") {
		return cut(entry.Msg)
	}
	return ""
}

// runs splits a log where systemd says that it starts the service, or that the service ended.
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

// ended reports whether systemd says that the service ended by itself.
func ended(line string) bool {
	return strings.Contains(line, ".service: Main process exited, ")
}

// causeOf is why a run ended; "" if it does not say. It is what etcd itself says that it ends for; else that it was killed; else
// its first complaint; else its first words that are no log line, such as those of a flag that is not known. What
// systemd says of the end comes last.
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
			case entry.Level == "error" || entry.Msg == "failed to verify flags": // which etcd says as a warning, and exits
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
		return e.Error // etcd says these words of whatever keeps it from starting
	}
	return strings.TrimSuffix(e.Msg+": "+e.Error, ": ")
}

// follows reports whether the entry only says that the server ends already: its parts complain of each other's end, often before
// etcd says what it ends for.
func (e entry) follows() bool {
	for _, what := range []string{net.ErrClosed.Error(), "http: Server closed", "mux: server closed", "server is stopping", "server stopped", "context canceled"} {
		if strings.HasSuffix(e.Error, what) {
			return true
		}
	}
	return false
}

// routine reports whether a line that is not etcd's says nothing of a cause: what systemd says of every start and end, and what
// the proxy (slog) says while all goes well.
func routine(line string) bool {
	if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "time=") && !strings.Contains(line, " level=ERROR ") {
		return true
	}
	for _, begin := range []string{"Starting ", "Started ", "Stopping ", "Stopped ", "Failed to start "} {
		if strings.HasPrefix(line, begin) {
			return true
		}
	}
	for _, of := range []string{"Failed with result ", "Scheduled restart job", "Consumed ", "Deactivated "} {
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
