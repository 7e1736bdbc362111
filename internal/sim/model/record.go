package model

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/juju/charm/v12/hooks"
)

// Results of a hook, in Record.Result.
const (
	ResultDone    = "done"
	ResultMissing = "missing"
	ResultFailed  = "failed"
	ResultKilled  = "killed"
)

// Record is what one run of a hook cost and how it ended.
type Record struct {
	Seq  int    `json:"seq"`
	Unit string `json:"unit"`
	Hook string `json:"hook"`
	Juju string `json:"juju"`
	// Calls is the number of hook tool calls; Tools their names in order.
	Calls int      `json:"calls"`
	Tools []string `json:"tools"`
	// Bytes is what relation-set and state-set wrote: keys and values.
	Bytes    int           `json:"bytes"`
	Duration time.Duration `json:"duration"`
	CPU      time.Duration `json:"cpu"`
	Exit     int           `json:"exit"`
	Result   string        `json:"result"`
	Error    string        `json:"error,omitempty"`
}

// Records returns the hooks run so far, of one unit or of all if unit is "".
func (m *Model) Records(unit string) []Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	var rs []Record
	for _, r := range m.records {
		if unit == "" || r.Unit == unit {
			rs = append(rs, r)
		}
	}
	return rs
}

// LogLine is one line of the model's log.
type LogLine struct {
	Time    time.Time
	Unit    string
	Level   string
	Module  string
	Message string
}

func (l LogLine) String() string {
	return fmt.Sprintf("unit-%s: %s %s unit.%s.%s %s", strings.ReplaceAll(l.Unit, "/", "-"),
		l.Time.Format("15:04:05"), l.Level, l.Unit, l.Module, l.Message)
}

// Log returns the log so far, of one unit or of all if unit is "".
func (m *Model) Log(unit string) []LogLine {
	m.mu.Lock()
	defer m.mu.Unlock()
	if unit == "" {
		return slices.Clone(m.log)
	}
	var lines []LogLine
	for _, l := range m.log {
		if l.Unit == unit {
			lines = append(lines, l)
		}
	}
	return lines
}

func (m *Model) logf(u *unit, level, module, format string, args ...any) {
	m.log = append(m.log, LogLine{m.opts.Now(), u.name, level, module, fmt.Sprintf(format, args...)})
}

// logOutput logs what a hook printed, as Juju does: stdout at DEBUG, stderr at WARNING.
func (m *Model) logOutput(c *Context, out Outcome) {
	if c.Hook.Kind == hooks.Action {
		return
	}
	for line := range strings.Lines(string(out.Stdout)) {
		m.logf(c.u, "DEBUG", c.Hook.Name(), "%s", strings.TrimRight(line, "\n"))
	}
	for line := range strings.Lines(string(out.Stderr)) {
		m.logf(c.u, "WARNING", c.Hook.Name(), "%s", strings.TrimRight(line, "\n"))
	}
}
