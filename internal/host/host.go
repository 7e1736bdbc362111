package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// maxWait bounds any wait inside a step: a hook has 120 s for all of them.
const maxWait = 30 * time.Second

// Options says where a Host works and what it works with. Unit is required; the others have a
// usable zero value.
type Options struct {
	Root   string // prefix of every path; "" in production
	Unit   string // "etcd/0"
	Log    *slog.Logger
	Binary string // the carried binary; "" is the running one
	// which server and proxy are in it, as package stamp writes them; "" is not known
	Stamp string
	Now   func() time.Time // nil is the machine's clock
	Rand  io.Reader        // nil is crypto/rand
	// Progress receives reports of how far long work has come; nil writes them to the log.
	Progress func(ctx context.Context, text string)
}

// Host looks at one unit's machine and at the cluster, and does steps on both. It implements
// operator.Host.
type Host struct {
	paths
	unitName   string
	user       string // that the service runs as; "" is the user that systemd runs as
	logger     *slog.Logger
	carried    string // path
	stamp      string
	now        func() time.Time
	random     io.Reader
	supervisor *systemd
	command    runner
	watch      time.Duration // watchTime, except in tests
	say        func(ctx context.Context, text string)

	mu   sync.Mutex
	seen view // what the last Observe found: steps hold no addresses
	// misled are the addresses that the last Observe was given and must not dial.
	misled []string
	// revoked is the list that this process wrote last. Within one hook the record in the model may
	// lag behind it.
	revoked []operator.Ended
	// derived caches the digests of derived serials: deriving them is the only expensive part of
	// Observe.
	derived map[string]string
	// hashes holds the voters' hashes of their data, one slice for each time that they were asked.
	hashes [][]operator.Hash
	// ends caches where a log ends, by the file and its time of modification.
	ends map[string]logEnd
	// logs caches what lookLog read, by the files and their times of modification.
	logs map[string]operator.LogState
}

var _ operator.Host = (*Host)(nil)

// runner runs a command and returns its standard output; the error holds the last line of standard
// error.
type runner func(ctx context.Context, name string, args ...string) ([]byte, error)

// New returns a Host. It touches nothing.
func New(o Options) *Host {
	h := &Host{
		paths:    newPaths(o.Root, o.Unit),
		unitName: o.Unit,
		logger:   o.Log,
		carried:  o.Binary,
		stamp:    o.Stamp,
		now:      o.Now,
		random:   o.Rand,
		command:  runCommand,
		say:      o.Progress,
		watch:    watchTime,
		derived:  map[string]string{},
		ends:     map[string]logEnd{},
		logs:     map[string]operator.LogState{},
	}
	if o.Root == "" && os.Geteuid() == 0 {
		h.user = systemUser
	}
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	if h.carried == "" {
		h.carried = "/proc/self/exe"
	}
	if h.now == nil {
		h.now = time.Now
	}
	if h.random == nil {
		h.random = rand.Reader
	}
	h.supervisor = &systemd{paths: h.paths, run: h.command}
	return h
}

// Do does one step. It waits at most 30 s, or 100 s where an action works through a database. Doing
// a step twice is harmless. Do returns when ctx ends; the step may then have happened or not.
func (h *Host) Do(ctx context.Context, step operator.Step) error {
	ctx, cancel := context.WithTimeout(ctx, waitOf(ctx, step))
	defer cancel()
	err, path := watched(ctx, h.watch, h.muteIn, func() error { return h.do(ctx, step) })
	if path != "" {
		err = fmt.Errorf("%s does not answer: its file system hangs", path)
	}
	return inWords(err)
}

func (h *Host) do(ctx context.Context, step operator.Step) error {
	switch s := step.(type) {
	case operator.Install:
		return h.install(ctx, s)
	case operator.Mend:
		return h.mend(ctx)
	case operator.WriteTLS:
		return h.writeTLS(s)
	case operator.WriteMember:
		return h.writeMember(ctx, s.Server)
	case operator.RevertMember:
		return h.revertMember(ctx)
	case operator.SpendInitial:
		return h.spendInitial()
	case operator.WriteProxy:
		return h.writeProxy(ctx, s.Upstream)
	case operator.Start:
		return h.start(ctx)
	case operator.Restart:
		return h.restart(ctx)
	case operator.Stop:
		return h.stop(ctx)
	case operator.Uninstall:
		return h.uninstall(ctx, s.KeepData)
	case operator.MoveAside:
		return h.moveAside(ctx, s.Why)
	case operator.Claim:
		return h.claim(s.Owner)
	case operator.WriteFence:
		return h.writeFence(s.Fence)
	case operator.ServePrepared:
		return h.servePrepared(ctx, s.ID)
	case operator.DropPrepared:
		return h.dropPrepared(s.ID)
	case operator.AddLearner:
		return h.addLearner(ctx, s.PeerURL)
	case operator.Promote:
		return h.promote(ctx, s.ID)
	case operator.RemoveMember:
		return h.removeMember(ctx, s)
	case operator.UpdateMember:
		return h.updateMember(ctx, s.ID, s.PeerURL)
	case operator.AwaitReady:
		return h.awaitReady(ctx, s.Learner)
	case operator.AwaitPeer:
		return h.awaitPeer(ctx, s.ID)
	case operator.AwaitLearner:
		return h.awaitLearner(ctx, s.ID)
	case operator.AwaitListed:
		return h.awaitListed(ctx, s.ID)
	case operator.TakeTurn:
		return h.takeTurn(ctx)
	case operator.ReleaseTurn:
		return h.releaseTurn(ctx)
	case operator.BreakTurn:
		return h.breakTurn(ctx, s.Turn)
	case operator.Defrag:
		return h.defrag(ctx, s.ID)
	case operator.Compact:
		return h.compact(ctx, s.Revision)
	case operator.Disarm:
		return h.disarm(ctx, s.Alarm)
	case operator.AskHashes:
		return h.askHashes(ctx, s.Revision)
	case operator.StartWork:
		return h.startWork(ctx, s.Request)
	case operator.EndWork:
		return h.endWork(ctx, s.ID)
	case operator.AwaitWork:
		return h.awaitWork(ctx, s.ID)
	case operator.WriteSchedule:
		return h.writeSchedule(ctx, s.Schedule)
	case operator.Diagnose:
		return h.diagnose(ctx, s)
	case operator.CheckDisk:
		return h.checkDisk(ctx)
	case operator.Purge:
		return h.purge(ctx, s)
	default:
		return fmt.Errorf("cannot do step of unknown type %T", step)
	}
}

// inWords puts a cause that an operator can act on in front of the error.
func inWords(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("disk is full: %w", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("file system is read-only: %w", err)
	default:
		return err
	}
}

// runCommand runs a command in a minimal environment.
func runCommand(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LC_ALL=C", "SYSTEMD_COLORS=0",
	}
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if line := lastLine(stderr.String()); line != "" {
			return stdout.Bytes(), fmt.Errorf("%s %s: %s: %w", name, args[0], line, err)
		}
		return stdout.Bytes(), fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return stdout.Bytes(), nil
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}

// poll calls try at every interval until try is done or ctx ends. When ctx ends, poll returns the
// last error of try that is not merely the end of ctx.
func poll(
	ctx context.Context, interval time.Duration,
	try func(context.Context) (done bool, why error),
) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var last error
	for {
		done, why := try(ctx)
		if done {
			return why
		}
		if why != nil && (last == nil || ctx.Err() == nil) {
			last = why
		}
		select {
		case <-ctx.Done():
			if last == nil {
				last = ctx.Err()
			}
			return last
		case <-ticker.C:
		}
	}
}
