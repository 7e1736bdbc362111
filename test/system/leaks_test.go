package system

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/internal/sim"
)

// readCalls reads the transcript of all calls of hook tools.
func readCalls(ts *testscript.TestScript, dir string) []sim.Call {
	file, err := os.Open(filepath.Join(dir, sim.TranscriptName))
	ts.Check(err)
	defer file.Close()
	var calls []sim.Call
	for decoder := json.NewDecoder(file); ; {
		var c sim.Call
		if err := decoder.Decode(&c); errors.Is(err, io.EOF) {
			return calls
		} else if err != nil {
			ts.Fatalf("cannot read the transcript: %v", err)
		}
		calls = append(calls, c)
	}
}

// forKeys reports which of a call's streams are meant to carry a private key: a consumer's databag,
// which the proxy reads in turn, and the secret with the authorities.
func forKeys(c sim.Call) (stdin, stdout bool) {
	relation := ""
	if at := slices.Index(c.Args, "-r"); at >= 0 && at+1 < len(c.Args) {
		relation = c.Args[at+1]
	}
	return c.Tool == "relation-set" && strings.HasPrefix(relation, "proxy:"),
		c.Tool == "secret-get" || c.Tool == "relation-get" && strings.HasPrefix(relation, "upstream:")
}

// learnFromCalls learns every key that passed through a call that is for keys, including those of
// the authorities.
func learnFromCalls(ts *testscript.TestScript, known keys, calls []sim.Call) {
	seen := map[string]bool{}
	for _, c := range calls {
		stdin, stdout := forKeys(c)
		for text, meant := range map[string]bool{string(c.Stdin): stdin, string(c.Stdout): stdout} {
			var values map[string]string
			if !meant || yaml.Unmarshal([]byte(text), &values) != nil { // JSON is YAML
				continue
			}
			for key, value := range values {
				before := len(known)
				ts.Check(known.add([]byte(value), c.Tool+" "+key))
				if len(known) > before || bytes.Contains([]byte(value), pemMark) {
					seen[c.Tool] = true
				}
			}
		}
	}
	for _, tool := range []string{"relation-set", "relation-get", "secret-get"} {
		if !seen[tool] {
			ts.Fatalf("no key went by %s: the search is blind", tool)
		}
	}
}

// searchCalls finds keys in arguments, and in what is not meant for keys: state, statuses, logs,
// results, other databags.
func searchCalls(ts *testscript.TestScript, known keys, calls []sim.Call) {
	searched := map[string]bool{}
	for _, c := range calls {
		stdin, stdout := forKeys(c)
		for _, stream := range []struct {
			name  string
			text  []byte
			meant bool
		}{
			{"arguments", []byte(strings.Join(c.Args, "\x00")), false},
			{"input", c.Stdin, stdin},
			{"output", c.Stdout, stdout},
			{"complaint", c.Stderr, false},
		} {
			if stream.meant || len(stream.text) == 0 || searched[string(stream.text)] {
				continue
			}
			searched[string(stream.text)] = true
			if whose := known.in(stream.text); whose != "" {
				ts.Fatalf("%s of %s in %s of %s has the private key of %s", stream.name, c.Tool, c.Hook, c.Unit, whose)
			}
		}
	}
}

// watchKey is the key under which a script has its watch over processes.
type watchKey struct{}

// watch keeps the command lines and environments of all programs that were seen below a directory.
type watch struct {
	mu    sync.Mutex
	seen  map[string]bool   // pid and program
	texts map[string]string // command line or environment, and its owner
	stop  chan struct{}
}

// watchInterval is the time between two looks. Hook tools come and go in between: the transcript
// has all of them.
const watchInterval = 50 * time.Millisecond

// watchProcesses is "watch-processes DIR": from now to the script's end it looks at every program
// that runs below DIR, or that has a directory below it in its environment.
func watchProcesses(ts *testscript.TestScript, _ bool, args []string) {
	w := ts.Value(watchKey{}).(*watch)
	dir := filepath.Clean(ts.MkAbs(args[0]))
	w.stop = make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		for {
			w.look(dir)
			select {
			case <-w.stop:
				return
			case <-tick.C:
			}
		}
	})
	ts.Defer(func() {
		close(w.stop)
		wg.Wait()
	})
}

func (w *watch) look(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		proc := filepath.Join("/proc", e.Name())
		exe, err := os.Readlink(filepath.Join(proc, "exe"))
		if err != nil || w.seen[e.Name()+exe] {
			continue
		}
		w.seen[e.Name()+exe] = true
		environ, err := os.ReadFile(filepath.Join(proc, "environ"))
		if err != nil || (!strings.HasPrefix(exe, dir+"/") && !bytes.Contains(environ, []byte(dir+"/"))) {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		w.texts[string(environ)] = "environment of " + exe
		w.texts[string(cmdline)] = "command line of " + exe
	}
}

func searchProcesses(ts *testscript.TestScript, known keys, dir string) {
	w := ts.Value(watchKey{}).(*watch)
	if w.stop == nil {
		ts.Fatalf("watch-processes comes first")
	}
	w.look(dir)
	w.mu.Lock()
	defer w.mu.Unlock()
	programs := map[string]bool{}
	for text, where := range w.texts {
		programs[filepath.Base(where)] = true
		if whose := known.in([]byte(text)); whose != "" {
			ts.Fatalf("%s has the private key of %s", where, whose)
		}
	}
	if !programs["etcd"] && !programs["etcd-charm"] {
		ts.Fatalf("no program of the charm was seen running: the search is blind")
	}
}

// largestTemporary is the largest size of a file that is searched where others leave theirs too.
const largestTemporary = 1 << 20

// searchTemporary finds the known keys in temporary files that are younger than the simulation's
// directory. It leaves out the scripts' own directories, where consumers keep what they received.
func searchTemporary(ts *testscript.TestScript, known keys, dir string) {
	born, err := os.Stat(filepath.Join(dir, "tools"))
	ts.Check(err)
	work := ts.Getenv("WORK")
	for _, place := range []string{"/tmp", "/var/tmp", "/dev/shm", "/run", os.TempDir()} {
		err := filepath.WalkDir(place, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return nil //nolint:nilerr // others' directories come and go
			case d.IsDir() && (path == dir || path == work || path == filepath.Dir(work)):
				return fs.SkipDir
			case !d.Type().IsRegular():
				return nil
			}
			info, err := d.Info()
			if err != nil || info.Size() > largestTemporary || info.ModTime().Before(born.ModTime()) {
				return nil //nolint:nilerr // it is gone
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil //nolint:nilerr // it is gone, or may not be read
			}
			if whose := known.known(text); whose != "" {
				ts.Fatalf("%s has the private key of %s", path, whose)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			ts.Check(err)
		}
	}
}
