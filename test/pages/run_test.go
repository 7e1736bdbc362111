package pages_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim"
	"github.com/juju-charms/etcd-charm/test/built"
)

const (
	// patience bounds the waits of verbs for hooks.
	patience = 10 * time.Minute
	// commandTime bounds a command: one that follows a log never ends.
	commandTime = 5 * time.Minute
	// A model has come to rest when the output has been the same for so many looks, each after
	// hooks of all units, and for so long: the output is then not what the page shows. A page that
	// is being written needs fewer looks.
	restLooks, restTime = 30, time.Minute
	draftLooks          = 4
	// atATime is how many pages run at a time: each runs several etcd servers.
	atATime = 2
	// archiveName is what pages call the charm's archive, whatever the machine's architecture.
	archiveName = "etcd_amd64.charm"
)

// TestMain makes this program act as the commands of the pages too: juju is juju-sim.
func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); name == "juju" || name == "juju-sim" {
		sim.ToolMain()
		os.Exit(sim.Program(sim.Options{}, os.Args[1:]))
	}
	sim.Main(m)
}

func TestPages(t *testing.T) {
	t.Parallel()
	archive := built.Archive(t)
	turns := make(chan struct{}, atATime)
	ran := 0
	for _, p := range allPages(t) {
		if !p.runs() {
			continue
		}
		ran++
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			turns <- struct{}{}
			defer func() { <-turns }()
			r := newReader(t, archive)
			commands, err := p.commands()
			require.NoError(t, err)
			takes := func(c command) bool { return strings.Contains(c.text, " snapshot") }
			stale := false
			r.snapshots = slices.ContainsFunc(commands, takes)
			for i := range commands {
				if c := &commands[i]; c.skipped == "" {
					c.text = r.names.copied(c.text)
					shown, same := r.follow(p, *c)
					c.shown, stale = shown, stale || !same
					r.names.note(shown)
				}
			}
			if stale {
				p.write(t, commands) // as a whole, so that what belongs together is from one run
			}
		})
	}
	require.Positive(t, ran, "no page is run")
}

// reader is somebody who follows a page: a model, and a shell in a directory with what the
// repository builds.
type reader struct {
	names names

	t   *testing.T
	sim *sim.Sim
	dir string
	env []string
	// snapshots: the page takes some, and health shows them. Otherwise those that units take from
	// time to time by themselves are left out.
	snapshots bool
}

func newReader(t *testing.T, archive string) *reader {
	t.Helper()
	s, err := sim.New(sim.Options{
		Env: []string{"ETCD_CHARM_ROOT=" + sim.RootVar}, Patience: patience, Tool: built.Tool(t),
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, time.Hour) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
		require.NoError(t, s.Close())
	})
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	for link, target := range map[string]string{
		"dist/" + archiveName: archive, "bin/juju-sim": self, "path/juju": self, "path/juju-sim": self,
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o755))
		require.NoError(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	r := &reader{t: t, sim: s, dir: dir, env: append(os.Environ(),
		sim.DirVar+"="+s.Dir(), "PATH="+filepath.Join(dir, "path")+":"+os.Getenv("PATH"))}
	listens := func() bool {
		_, err := r.sh("juju status")
		return err == nil
	}
	require.Eventually(t, listens, patience, 10*time.Millisecond)
	return r
}

// looks are the commands that change nothing: they are repeated until they print what the page
// shows.
var looks = regexp.MustCompile(`^juju (status|debug-log|show-|run \S+ (health|list-members|alarm-list|list-snapshots|check-removal|operation$|(restore|recover) .*dry-run)` +
	`|(ssh|exec) .*etcdctl .*(get|endpoint|member list|version|alarm list)|(ssh|exec) .*(curl|ls|systemctl))|^sleep `)

// follow does what a page says. If the page is to be written, it returns what the page should show,
// and reports whether it already does; otherwise the page must agree.
func (r *reader) follow(p page, c command) (show []string, same bool) {
	r.t.Helper()
	at, began := fmt.Sprintf("%s:%d: %s", p.name, c.line+1, c.text), time.Now()
	r.t.Log(at) // with -v, shows where it is
	defer func() { r.t.Logf("took %s", time.Since(began).Round(time.Millisecond)) }()
	printed, err := r.sh(c.text)
	r.rest(0)
	if len(c.shown) == 0 {
		require.NoError(r.t, err, "%s\n%s", at, strings.Join(printed, "\n"))
		return nil, true
	}
	blank := slices.Equal(c.shown, []string{cut})
	require.True(r.t, !blank || updating(), "%s: UPDATE_PAGES=1 writes what it prints", at)
	still, since := 0, time.Now()
	for looks.MatchString(c.text) && (blank || !agree(c.shown, printed)) {
		before := printed
		r.rest(1)
		printed, _ = r.sh(c.text)
		if still++; !agree(before, printed) {
			still, since = 0, time.Now()
		}
		if still > restLooks && time.Since(since) > restTime || updating() && still > draftLooks || time.Since(began) > patience {
			break
		}
	}
	same = !blank && agree(c.shown, printed)
	if !updating() {
		require.True(r.t, same, "%s\nshows\n%s\nand prints\n%s", at, strings.Join(c.shown, "\n"), strings.Join(printed, "\n"))
	}
	if same && slices.Index(c.shown, cut) < len(c.shown)-1 && slices.Contains(c.shown, cut) {
		return c.shown, true // cut by hand
	}
	return rewritten(c.shown, printed), same
}

// rest lets the queued hooks run, and then so many rounds of update-status. A page may want to show
// units that are in error.
func (r *reader) rest(rounds int) {
	_ = r.sim.Do(r.t.Context(), sim.Env{Out: io.Discard, Err: io.Discard}, "settle", "--update-status", fmt.Sprint(rounds))
}

// On a machine of its own a unit's loopback address is 127.0.0.1, sudo makes the reader root, and
// files lie below /. Units of a model on one machine have an address and a directory each, in which
// their commands run, as the user that runs the model.
var (
	ourFiles = regexp.MustCompile(` /(etc|var/lib|opt)/etcd-charm`)
	sudo     = regexp.MustCompile(`^(juju ssh \S+ )sudo `)
	onUnit   = regexp.MustCompile(`^juju ssh (?:--\S+ )*(\S+/\d+) `)
	loopback = "127.0.0.1"
	onRun    = regexp.MustCompile(`^juju run (\S+/\d+) `)
	anyFile  = regexp.MustCompile(` (to|snapshot)=/`)
	copied   = regexp.MustCompile(`(\S+/\d+):/`)
	anyRoot  = regexp.MustCompile(`/tmp/juju-sim/m\d+/`)
)

// typed is a command as it is run for a page.
func (r *reader) typed(line string) string {
	if found := onUnit.FindStringSubmatch(line); found != nil {
		unit, err := r.sim.Model.Unit(found[1])
		require.NoError(r.t, err)
		line = ourFiles.ReplaceAllString(strings.ReplaceAll(line, loopback, unit.Address), " $1/etcd-charm")
	}
	if found := onRun.FindStringSubmatch(line); found != nil {
		unit, err := r.sim.Model.Unit(found[1])
		require.NoError(r.t, err)
		line = anyFile.ReplaceAllString(line, " $1="+r.sim.Root(unit.Machine)+"/")
	}
	if strings.HasPrefix(line, "juju scp ") {
		line = copied.ReplaceAllString(line, "$1:")
	}
	return sudo.ReplaceAllString(line, "$1")
}

// runs matches a command that runs an action. Juju's own lines about it, and the action's log, are
// on standard error.
var runs = regexp.MustCompile(`^juju run `)

// lastTaken matches the line of health about the last snapshot.
var lastTaken = regexp.MustCompile(`(?m)^  snapshot .*\n`)

var anyAddress = regexp.MustCompile(`\b127(\.\d+){3}\b *`)

// sh runs a line in the shell and returns the lines that it prints. Machines have other addresses
// in each run; in pages they are from one network.
func (r *reader) sh(line string) ([]string, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", r.typed(line))
	cmd.WaitDelay = time.Second // a process that it started may hold its output open
	cmd.Dir, cmd.Env = r.dir, r.env
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if runs.MatchString(line) {
		cmd.Stderr = &said
	}
	err := cmd.Run()
	for text := range strings.Lines(said.String()) {
		if strings.HasPrefix(text, "ERROR ") {
			out.WriteString(text)
		}
	}
	text := anyAddress.ReplaceAllStringFunc(out.String(), func(found string) string {
		address := strings.TrimRight(found, " ")
		if strings.HasPrefix(address, "127.0.0.") {
			return found
		}
		page := "127.0.7." + address[strings.LastIndexByte(address, '.')+1:]
		if len(found)-len(address) > 1 { // a column of a table
			return fmt.Sprintf("%-*s", len(found), page)
		}
		return page + found[len(address):]
	})
	text = ofTheDisk.ReplaceAllString(text, "")
	if !r.snapshots {
		text = lastTaken.ReplaceAllString(text, "")
	}
	text = anyRoot.ReplaceAllString(strings.ReplaceAll(text, r.sim.Dir(), "/tmp/juju-sim"), "/")
	return strings.Split(strings.TrimRight(text, "\n"), "\n"), err
}

// write replaces what the page shows for its commands.
func (p page) write(t *testing.T, commands []command) {
	t.Helper()
	before, err := p.commands()
	require.NoError(t, err)
	for i, c := range slices.Backward(commands) {
		if c.skipped != "" {
			continue
		}
		from := c.line + 1
		p.lines[c.line] = strings.Replace(p.lines[c.line], before[i].text, c.text, 1)
		p.lines = slices.Replace(p.lines, from, from+len(before[i].shown), c.shown...)
	}
	require.NoError(t, os.WriteFile(p.path(), []byte(strings.Join(p.lines, "\n")), 0o644))
}
