package pid1

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// file is what a unit file says, as far as it is carried out.
type file struct {
	description     string
	notify          bool // it is active only when it says so
	pre             [][]string
	argv            []string
	env, unset      []string
	envFiles        []string
	restart         string // the condition
	restartDelay    time.Duration
	restartPrevent  []string // exit codes, and names of signals
	stopTimeout     time.Duration
	killProcessOnly bool
	umask           string
}

// parse reads a unit file. What it does not know it passes over, as systemd does.
func parse(text []byte) (file, error) {
	f := file{
		restart: "no", restartDelay: 100 * time.Millisecond, stopTimeout: 90 * time.Second,
		umask: "0022",
	}
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.ContainsAny(line[:1], "#;") {
			continue
		}
		if line[0] == '[' {
			section = line
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		var err error
		switch section {
		case "[Unit]":
			if key == "Description" {
				f.description = value
			}
		case "[Service]":
			err = f.set(strings.TrimSpace(key), strings.TrimSpace(value))
		}
		if err != nil {
			return file{}, fmt.Errorf("cannot read %s: %w", line, err)
		}
	}
	if len(f.argv) == 0 {
		return file{}, errors.New("service has no ExecStart= setting")
	}
	return f, nil
}

func (f *file) set(key, value string) (err error) {
	switch key {
	case "Type":
		if !slices.Contains([]string{"simple", "exec", "notify"}, value) {
			return errors.New("only the types simple, exec and notify are known here")
		}
		f.notify = value == "notify"
	case "ExecStart":
		f.argv = strings.Fields(value)
	case "ExecStartPre":
		f.pre = append(f.pre, strings.Fields(value))
	case "Environment":
		f.env = append(f.env, strings.Fields(value)...)
	case "UnsetEnvironment":
		f.unset = append(f.unset, strings.Fields(value)...)
	case "EnvironmentFile":
		f.envFiles = append(f.envFiles, value)
	case "Restart":
		if !slices.Contains([]string{"no", "always", "on-failure"}, value) {
			return errors.New("only no, always and on-failure are known here")
		}
		f.restart = value
	case "RestartSec":
		f.restartDelay, err = duration(value)
	case "RestartPreventExitStatus":
		f.restartPrevent = append(f.restartPrevent, strings.Fields(value)...)
	case "TimeoutStopSec":
		f.stopTimeout, err = duration(value)
	case "KillMode":
		f.killProcessOnly = value == "process"
	case "UMask":
		f.umask = value
	}
	return err
}

// duration reads "2", "500ms", "1min": seconds, unless the unit is said.
func duration(value string) (time.Duration, error) {
	if value == "infinity" {
		return 0, nil
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		return time.Duration(seconds * float64(time.Second)), nil
	}
	return time.ParseDuration(strings.ReplaceAll(value, "min", "m"))
}

// environ is the whole environment of the service. Environment files are read at each start.
func (f *file) environ(machine []string) ([]string, error) {
	env := append([]string{"LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"}, machine...)
	env = append(env, f.env...)
	for _, path := range f.envFiles {
		path, optional := strings.CutPrefix(path, "-")
		text, err := os.ReadFile(path)
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if key, value, ok := strings.Cut(line, "="); ok && !strings.ContainsAny(line[:1], "#;") {
				env = append(env, key+"="+unquote(value))
			}
		}
	}
	return slices.DeleteFunc(env, func(line string) bool {
		key, _, _ := strings.Cut(line, "=")
		return slices.Contains(f.unset, key) || slices.Contains(f.unset, line)
	}), nil
}

// unquote takes the quotes from a value that stands in quotes as a whole.
func unquote(value string) string {
	for _, quote := range []string{`"`, `'`} {
		if len(value) >= 2 && strings.HasPrefix(value, quote) && strings.HasSuffix(value, quote) {
			return value[1 : len(value)-1]
		}
	}
	return value
}

// again reports whether the service is started again after such an end.
func (f *file) again(end exit) bool {
	if slices.Contains(f.restartPrevent, strconv.Itoa(end.code)) && !end.killed ||
		end.killed && slices.Contains(f.restartPrevent, end.status()) {
		return false
	}
	return f.restart == "always" || f.restart == "on-failure" && !end.clean()
}

// title is how the journal names a unit.
func (f *file) title(name string) string { return name + " - " + cmp.Or(f.description, name) }
