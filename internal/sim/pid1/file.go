package pid1

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// file is the supported content of a unit file. A time span of 0 has no end.
type file struct {
	description string
	collect     bool // a transient unit is forgotten even when it has failed
	limitSpan   time.Duration
	limitStarts int
	wantedBy    []string
	service
	timer
}

type service struct {
	kind           string // Type
	conditions     []command
	pre, main      []command
	env, unset     []string
	envFiles       []string
	dir            string
	restart        string // when it is restarted
	restartDelay   time.Duration
	restartPrevent []string // exit codes, and names of signals
	startTimeout   time.Duration
	stopTimeout    time.Duration
	runtimeMax     time.Duration
	stays          bool // active after its process has ended (RemainAfterExit)
	umask          string
	runDirs        []string // below /run, from each start to the end
	keepsRunDirs   bool     // from one start to the next
}

type command struct {
	argv    []string
	lenient bool // its failure does not fail the service
}

// refused are the prefixes of settings that would change what happens but are not supported here.
// Other unknown settings are ignored, as systemd ignores unknown ones.
var refused = map[string][]string{
	"[Unit]": {
		"Assert", "BindsTo", "BindTo", "Condition", "Conflicts", "FailureAction", "OnFailure",
		"OnSuccess", "PartOf", "Requires", "Requisite", "StartLimitAction", "StopWhenUnneeded",
		"SuccessAction", "Upholds",
	},
	"[Service]": {
		"BusName", "Exec", "ExitType", "FileDescriptorStore", "Kill", "PassEnvironment", "PIDFile",
		"RemainAfter", "Restart", "Root", "RuntimeDirectory", "Sockets", "Standard", "SuccessExit",
		"Timeout", "Watchdog",
	},
	"[Timer]":   {"On", "Persistent", "Unit", "Remain"},
	"[Install]": {"Alias", "Also", "DefaultInstance", "RequiredBy", "UpheldBy"},
}

// parse reads the file of a unit.
func parse(name string, text []byte) (file, error) {
	f := file{limitSpan: 10 * time.Second, limitStarts: 5}
	f.service = service{
		kind: "simple", restart: "no", restartDelay: 100 * time.Millisecond, startTimeout: -1,
		stopTimeout: 90 * time.Second, dir: "/", umask: "0022",
	}
	f.timer = timer{unit: strings.TrimSuffix(name, filepath.Ext(name)) + ".service", remain: true}
	section := ""
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.ContainsAny(line[:1], "#;") {
			continue
		}
		if line[0] == '[' {
			section = line
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		if err := f.set(section, strings.TrimSpace(key), strings.TrimSpace(value)); err != nil {
			return file{}, fmt.Errorf("cannot read %s: %w", line, err)
		}
	}
	return f, f.complete(filepath.Ext(name))
}

// complete checks what a unit of its type needs, and derives the rest.
func (f *file) complete(ext string) error {
	switch {
	case ext == ".timer" && len(f.triggers)+len(f.calendars) == 0:
		return errors.New("timer has no On…= setting")
	case ext == ".service" && len(f.main) == 0:
		return errors.New("service has no ExecStart= setting")
	case ext == ".service" && len(f.main) > 1 && f.kind != "oneshot":
		return errors.New("service has more than one ExecStart= setting, which is for Type=oneshot only")
	}
	if f.startTimeout < 0 {
		f.startTimeout = 90 * time.Second
		if f.kind == "oneshot" {
			f.startTimeout = 0
		}
	}
	return nil
}

func (f *file) set(section, key, value string) error {
	known, err := false, error(nil)
	switch section {
	case "[Unit]":
		known, err = f.setUnit(key, value)
	case "[Service]":
		known, err = f.setService(key, value)
	case "[Timer]":
		known, err = f.setTimer(key, value)
	case "[Install]":
		if known = key == "WantedBy"; known {
			f.wantedBy = append(f.wantedBy, strings.Fields(value)...)
		}
	}
	if !known && slices.ContainsFunc(refused[section], func(begin string) bool {
		return strings.HasPrefix(key, begin)
	}) {
		return fmt.Errorf("%s= is not known here", key)
	}
	return err
}

func (f *file) setUnit(key, value string) (known bool, err error) {
	switch key {
	case "Description":
		f.description = value
	case "CollectMode":
		f.collect = value == "inactive-or-failed"
	case "StartLimitIntervalSec":
		f.limitSpan, err = duration(value)
	case "StartLimitBurst":
		f.limitStarts, err = strconv.Atoi(value)
	default:
		return false, nil
	}
	return true, err
}

func (s *service) setService(key, value string) (known bool, err error) {
	switch key {
	case "Type":
		s.kind = value
		err = among(value, "simple", "exec", "notify", "oneshot")
	case "ExecStart":
		err = addCommand(&s.main, value)
	case "ExecCondition":
		err = addCommand(&s.conditions, value)
	case "ExecStartPre":
		err = addCommand(&s.pre, value)
	case "Environment":
		err = addWords(&s.env, value)
	case "UnsetEnvironment":
		err = addWords(&s.unset, value)
	case "EnvironmentFile":
		s.envFiles = append(s.envFiles, value)
	case "WorkingDirectory":
		s.dir = value
	case "Restart":
		s.restart = value
		err = among(value, "no", "always", "on-failure")
	case "RestartSec":
		s.restartDelay, err = duration(value)
	case "RestartPreventExitStatus":
		s.restartPrevent = append(s.restartPrevent, strings.Fields(value)...)
	case "TimeoutStartSec":
		s.startTimeout, err = duration(value)
	case "TimeoutStopSec":
		s.stopTimeout, err = duration(value)
	case "RuntimeMaxSec":
		s.runtimeMax, err = duration(value)
	case "RemainAfterExit":
		s.stays, err = boolean(value)
	case "KillMode":
		err = among(value, "control-group")
	case "RuntimeDirectory":
		for _, dir := range strings.Fields(value) {
			if !filepath.IsLocal(dir) {
				return true, errors.New("no directory below /run")
			}
			s.runDirs = append(s.runDirs, dir)
		}
	case "RuntimeDirectoryPreserve":
		s.keepsRunDirs = value == "restart"
		err = among(value, "no", "restart")
	case "UMask":
		s.umask = value
		_, err = strconv.ParseUint(value, 8, 12)
	default:
		return false, nil
	}
	return true, err
}

func among(value string, known ...string) error {
	if !slices.Contains(known, value) {
		return fmt.Errorf("only %s are known here", strings.Join(known, ", "))
	}
	return nil
}

func boolean(value string) (bool, error) {
	switch value {
	case "yes", "true", "on", "1":
		return true, nil
	case "no", "false", "off", "0":
		return false, nil
	}
	return false, errors.New("neither yes nor no")
}

func addWords(to *[]string, value string) error {
	words, err := split(value)
	*to = append(*to, words...)
	return err
}

// addCommand parses a command line. A prefix before the program's path is about a sandbox and is
// ignored, except the one that says that a failure does not count.
func addCommand(to *[]command, value string) error {
	argv, err := split(value)
	if err != nil {
		return err
	}
	if len(argv) == 0 {
		return errors.New("no command is given")
	}
	path := strings.TrimLeft(argv[0], "-+!")
	if !filepath.IsAbs(path) {
		return errors.New("only a program with an absolute path is known here")
	}
	c := command{
		argv:    []string{path},
		lenient: strings.Contains(strings.TrimSuffix(argv[0], path), "-"),
	}
	for _, word := range argv[1:] {
		if word, err = single(word, '$', "variables"); err != nil {
			return err
		}
		c.argv = append(c.argv, word)
	}
	*to = append(*to, c)
	return nil
}

// environ returns the whole environment of the service. Environment files are read at each start.
func (s *service) environ(machine []string) ([]string, error) {
	env := append([]string{"LANG=C.UTF-8", "PATH=" + searchPath}, machine...)
	env = append(env, s.env...)
	for _, path := range s.envFiles {
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
		return slices.Contains(s.unset, key) || slices.Contains(s.unset, line)
	}), nil
}

// searchPath is where systemd looks for programs, and the PATH that it gives services.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// unquote removes the quotes from a value that is quoted as a whole.
func unquote(value string) string {
	for _, quote := range []string{`"`, `'`} {
		if len(value) >= 2 && strings.HasPrefix(value, quote) && strings.HasSuffix(value, quote) {
			return value[1 : len(value)-1]
		}
	}
	return value
}

// again reports whether the service is restarted after such an end.
func (s *service) again(end exit) bool {
	if end.skipped() {
		return false
	}
	if slices.Contains(s.restartPrevent, strconv.Itoa(end.code)) && !end.killed ||
		end.killed && slices.Contains(s.restartPrevent, end.signalName()) {
		return false
	}
	return s.restart == "always" || s.restart == "on-failure" && !end.clean()
}

// title returns the journal's name of a unit.
func (f *file) title(name string) string { return name + " - " + cmp.Or(f.description, name) }
