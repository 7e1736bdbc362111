package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/juju-charms/etcd-charm/internal/longwork"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/webproxy"
)

// workTime bounds long work. Work that takes longer is ended, and its result says so.
const workTime = 6 * time.Hour

// endTime is how long work may take to end once it is told to.
const endTime = 10 * time.Second

// comesUp is how long the service may take until it begins the work.
const comesUp = 20 * time.Second

// scheduled is the ID of the timer's work.
const scheduled = "scheduled"

// plainID reports whether an ID may be part of a path and of a service's name.
func plainID(id string) bool {
	fits := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.'
	}
	return id != "" && id[0] != '-' && id[0] != '.' &&
		!strings.ContainsFunc(id, func(r rune) bool { return !fits(r) })
}

// workService returns the name of the service that does the work of that ID.
func (h *Host) workService(id string) string {
	if id == scheduled {
		return h.snapshotService()
	}
	return "etcd-charm-" + h.unit + "-work-" + id + ".service"
}

// sandbox is what work may use of the machine, with lower priority than what serves. It runs as
// root, because it reads the administrator's key and copies to paths that an administrator names;
// it needs nothing else of the machine.
func sandbox() []string {
	return []string{
		"CPUWeight=20", "IOWeight=20", "Nice=10", "OOMScoreAdjust=500",
		"UMask=0077", "LimitCORE=0", "NoNewPrivileges=yes", "ProtectSystem=full",
		"ProtectKernelTunables=yes", "ProtectKernelModules=yes", "ProtectControlGroups=yes",
		"RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "RestrictRealtime=yes", "LockPersonality=yes",
		"UnsetEnvironment=" + strings.Join(webproxy.Vars(), " "),
	}
}

// startWork begins long work in a transient service, unless work of that ID has begun.
func (h *Host) startWork(ctx context.Context, r operator.WorkRequest) error {
	if !plainID(r.ID) || r.ID == scheduled {
		return fmt.Errorf("cannot begin work: %q is not an ID", r.ID)
	}
	dir := h.work(r.ID)
	if _, begun := longwork.Look(dir); begun {
		return nil
	}
	carried, err := carriedRelease(h.carried, h.stamp)
	if err != nil {
		return err
	}
	if err := directory(h.worksDir(), 0o700, h.adminOwner()); err != nil {
		return err
	}
	if err := errors.Join(longwork.Prune(h.worksDir()), longwork.Begin(dir, r, h.now())); err != nil {
		return err
	}
	args := []string{
		"--unit=" + h.workService(r.ID),
		"--description=" + string(r.Kind) + " of Juju unit " + h.unitName,
		"--collect", "--quiet", "--no-block",
		"--property=RuntimeMaxSec=" + strconv.Itoa(int((workTime + time.Minute).Seconds())),
		"--property=TimeoutStopSec=" + strconv.Itoa(int(endTime.Seconds())),
	}
	for _, property := range sandbox() {
		args = append(args, "--property="+property)
	}
	args = append(args, "--", h.binary(carried), "work",
		"--request", filepath.Join(dir, longwork.RequestFile), "--charm", h.charmDir())
	if _, err := h.supervisor.run(ctx, "systemd-run", args...); err != nil {
		return errors.Join(fmt.Errorf("cannot begin work: %w", err), longwork.Forget(dir))
	}
	ctx, cancel := context.WithTimeout(ctx, comesUp)
	defer cancel()
	return poll(ctx, lookInterval, func(context.Context) (bool, error) {
		if longwork.Taken(dir) {
			return true, nil
		}
		return false, errors.New("cannot begin work: its service does not come up")
	})
}

// charmDir returns the charm's directory, whose hooks can be run.
func (h *Host) charmDir() string {
	carried, err := filepath.EvalSymlinks(h.carried)
	if err != nil {
		return ""
	}
	return filepath.Dir(filepath.Dir(carried))
}

// endWork ends work of that ID and forgets it.
func (h *Host) endWork(ctx context.Context, id string) error {
	if !plainID(id) {
		return fmt.Errorf("cannot end work: %q is not an ID", id)
	}
	dir := h.work(id)
	w, begun := longwork.Look(dir)
	if !begun {
		return nil
	}
	if w.State == operator.WorkRuns {
		if _, err := h.supervisor.systemctl(ctx, "stop", "--no-block", h.workService(id)); err != nil {
			return fmt.Errorf("cannot end work %s: %w", id, err)
		}
		err := poll(ctx, lookInterval, func(context.Context) (bool, error) {
			if w, begun := longwork.Look(dir); begun && w.State == operator.WorkRuns {
				return false, fmt.Errorf("cannot end work %s: it is still running", id)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	return longwork.Forget(dir)
}

// awaitWork waits until work of that ID has ended. It is no error if the work goes on: the next
// look shows it in the World.
func (h *Host) awaitWork(ctx context.Context, id string) error {
	said := ""
	_ = poll(ctx, 200*time.Millisecond, func(ctx context.Context) (bool, error) {
		w, begun := longwork.Look(h.work(id))
		if begun && w.State == operator.WorkRuns && w.Progress != "" && w.Progress != said {
			said = w.Progress
			h.progress(ctx, said)
		}
		return !begun || w.State != operator.WorkRuns, nil
	})
	return nil
}

// endAllWork ends all of the unit's work. Work that cannot be ended is left running.
func (h *Host) endAllWork(ctx context.Context) {
	for _, w := range longwork.All(h.worksDir()) {
		if err := h.endWork(ctx, w.ID); err != nil {
			h.logger.WarnContext(ctx, "work is still running", "id", w.ID, "error", err)
		}
	}
}

// ForWork returns the host of the unit to which the file belongs: a work's request, or the snapshot
// schedule.
func ForWork(file string, o Options) (*Host, error) {
	for _, below := range []string{"/var/lib/etcd-charm/", "/etc/etcd-charm/"} {
		root, rest, ok := strings.Cut(filepath.Clean(file), below)
		dashed, _, deeper := strings.Cut(rest, "/")
		app, number, numbered := cutLast(dashed, "-")
		if ok && deeper && numbered {
			o.Root, o.Unit = root, app+"/"+number
			return New(o), nil
		}
	}
	return nil, fmt.Errorf("%s is not a file of a unit", file)
}

func cutLast(s, sep string) (before, after string, found bool) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(sep):], true
}

// Work does the work of that request, and asks for a hook once it has ended.
func (h *Host) Work(
	ctx context.Context, request, charmDir string, kinds map[operator.WorkKind]longwork.Do,
) error {
	ctx, cancel := context.WithTimeoutCause(ctx, workTime, errors.New("it ran out of time"))
	defer cancel()
	err := longwork.Run(ctx, filepath.Dir(request), kinds)
	err = errors.Join(err, longwork.Prune(h.worksDir()))
	if ctx.Err() == nil {
		h.askForHook(ctx, charmDir)
	}
	return err
}

// hookTime bounds how long askForHook waits for its hook: another hook may be running.
const hookTime = 10 * time.Minute

// askForHook has Juju run a hook, so that the unit sees the result of the work. If that fails,
// update-status comes by itself.
func (h *Host) askForHook(ctx context.Context, charmDir string) {
	if charmDir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	hook := filepath.Join(charmDir, "hooks", "update-status")
	if _, err := os.Lstat(hook); err != nil {
		return // the unit is gone
	}
	// Juju 2.9 and older have only the second name
	for _, tool := range []string{"juju-exec", "juju-run"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			continue
		}
		// The agent sets no hook name for a command, and the charm takes the hook's name from this
		// variable.
		//nolint:gosec // its own path
		out, err := exec.CommandContext(ctx, path,
			h.unitName, "JUJU_DISPATCH_PATH=hooks/update-status "+hook).CombinedOutput()
		if err != nil {
			h.logger.WarnContext(ctx, "no hook was run",
				"by", tool, "error", err, "said", lastLine(string(out)))
		}
		return
	}
}

// progress reports how far work has come: to the user who waits for the action, or to the log.
func (h *Host) progress(ctx context.Context, text string) {
	if h.say != nil {
		h.say(ctx, text)
		return
	}
	h.logger.InfoContext(ctx, "progress", "of", text)
}

// lookWork returns the unit's long work.
func (h *Host) lookWork() []operator.Work {
	return slices.Clip(longwork.All(h.worksDir()))
}
