package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"github.com/juju-charms/etcd-charm/internal/datadir"
	"github.com/juju-charms/etcd-charm/internal/longwork"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// Kinds returns the functions for each kind of long work.
func (h *Host) Kinds() map[operator.WorkKind]longwork.Do {
	return map[operator.WorkKind]longwork.Do{
		operator.TakeSnapshot:   h.takeSnapshot,
		operator.VerifySnapshot: h.verifySnapshot,
		operator.Drill:          h.drill,
		operator.PrepareRestore: h.prepareRestore,
		operator.PrepareRecover: h.prepareRecover,
		operator.LookAgain:      lookAgain,
	}
}

// lookAgain is work that ends at once: its purpose is the hook that follows it.
func lookAgain(context.Context, operator.WorkRequest, longwork.Progress) (string, error) {
	return "a hook is asked for", nil
}

// etcdutl returns the program that checks databases: the link beside the running program.
func (h *Host) etcdutl() string {
	self, err := filepath.EvalSymlinks(h.carried)
	if err != nil {
		self = h.carried
	}
	return filepath.Join(filepath.Dir(self), "etcdutl")
}

// Due takes a snapshot by itself if one is due and the member can give one. Then it asks for a
// hook.
func (h *Host) Due(ctx context.Context, charmDir string) error {
	s, err := h.readSchedule()
	if err != nil {
		return fmt.Errorf("cannot read how snapshots are taken: %w", err)
	}
	metas, err := snapshot.List(h.snapshots())
	if err != nil {
		return err
	}
	now := h.now()
	last, found := snapshot.Newest(metas)
	if s.Interval == 0 ||
		found && slot(last.Taken, s.Interval, h.unitName) == slot(now, s.Interval, h.unitName) {
		return nil
	}
	if !h.tries(now, s.Interval) {
		return nil
	}
	m, err := h.ownMember()
	if err != nil {
		return err
	}
	_, err = h.fit(ctx, m)
	ignoreClose(m)
	if err != nil {
		fmt.Println("no snapshot now:", err) // the journal shows it, and the timer asks again soon
		return nil
	}
	dir := h.work(scheduled)
	if err := directory(h.worksDir(), 0o700, h.adminOwner()); err != nil {
		return err
	}
	err = errors.Join(
		longwork.Prune(h.worksDir()),
		longwork.Begin(dir, operator.WorkRequest{ID: scheduled, Kind: operator.TakeSnapshot}, now),
	)
	if err != nil {
		return err
	}
	return h.Work(ctx, filepath.Join(dir, longwork.RequestFile), charmDir, h.Kinds())
}

// retries is the number of parts of the interval; after a fault the next try waits for one part. So
// a fault does not make each question of the timer stream the whole database again.
const retries = 4

// tries reports whether the timer's work may begin at that time: it has not failed a short while
// ago. Work that gave way because the member was needed counts as not failed.
func (h *Host) tries(at time.Time, interval int64) bool {
	last, _ := longwork.Look(h.work(scheduled))
	since := at.Unix() - last.Ended // negative where a clock went back
	return last.State != operator.WorkFailed || strings.HasPrefix(last.Error, operator.EndedWork) ||
		since < 0 || since >= interval/retries
}

// ownMember connects to our own member.
func (h *Host) ownMember() (member, error) {
	env, err := envLines(h.memberEnv())
	if err != nil {
		return member{}, err
	}
	url := ownURL(env)
	if url == "" {
		return member{}, errors.New("there is no member on this unit")
	}
	return h.access(nil).dial(url)
}

// fitTime bounds how long a member is asked whether it can give a snapshot.
const fitTime = 10 * time.Second

// errUnfit means that a member cannot give a snapshot now.
var errUnfit = errors.New("this member gives no snapshot now")

// fit returns the size of our member's database, or why the member can give no snapshot now. The
// member must be a voter that answers a linearizable read, so that it has everything that was
// acknowledged. No unit may hold the turn to restart. And the member may not be the leader that is
// bringing a learner up to date.
func (h *Host) fit(ctx context.Context, m member) (size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, fitTime)
	defer cancel()
	status, err := m.Status(ctx, m.Endpoints()[0])
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: it does not answer: %w", errUnfit, err)
	case status.IsLearner:
		return 0, fmt.Errorf("%w: it is a learner", errUnfit)
	case status.Leader == 0:
		return 0, fmt.Errorf("%w: it knows no leader", errUnfit)
	}
	read, err := m.Get(ctx, turnKey)
	if err != nil {
		return 0, fmt.Errorf("%w: it answers no linearizable read: %w", errUnfit, err)
	}
	if holder := turnOf(read.Kvs).Holder; holder != "" {
		return 0, fmt.Errorf("%w: %s has the turn to restart", errUnfit, holder)
	}
	if status.Leader == status.Header.GetMemberId() {
		list, err := m.MemberList(ctx)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errUnfit, err)
		}
		for _, listed := range list.Members {
			if listed.IsLearner {
				return 0, fmt.Errorf("%w: it is bringing %s up to date", errUnfit, listed.Name)
			}
		}
	}
	return status.DbSize, nil
}

// fitWait is how long work waits for a member that can give no snapshot now.
const fitWait = 10 * time.Minute

// takeSnapshot takes a snapshot from our member if there is room for it, and drops the snapshots
// that are no longer kept.
func (h *Host) takeSnapshot(
	ctx context.Context, r operator.WorkRequest, p longwork.Progress,
) (string, error) {
	defer func() { _ = h.writeMetrics() }()
	if err := target(r.To); err != nil {
		return "", err
	}
	release, err := longwork.Hold(h.upkeepLock())
	if err != nil {
		return "", fmt.Errorf("another snapshot is being taken: %w", err)
	}
	defer release()
	m, err := h.ownMember()
	if err != nil {
		return "", err
	}
	defer ignoreClose(m)
	size, err := h.awaitFit(ctx, m, p)
	if err != nil {
		return "", err
	}
	s, err := h.readSchedule()
	if err != nil {
		s.Keep = math.MaxInt // the number to keep is unknown, so drop none for it
	}
	more, err := h.roomForCopy(r.To, size)
	if err != nil {
		return "", err
	}
	if err := h.makeRoom(ctx, s, size, size+more); err != nil {
		return "", err
	}
	stream, streamed := h.yielding(ctx, m)
	defer streamed()
	carried, _ := carriedRelease(h.carried, h.stamp)
	taken, err := snapshot.Take(stream, m.Client, snapshot.Request{
		Dir: h.snapshots(), Unit: h.unitName, Charm: carried,
		Etcdutl: h.etcdutl(), Users: datadir.ReadUsers,
		Now: h.now(), Why: r.Why, Work: r.ID, To: r.To,
		Progress: func(what string, done, total int64) {
			if what != "copy" {
				streamed() // the member takes no further part
			}
			p(what, done, total)
		},
	})
	if cause := context.Cause(stream); err != nil && cause != nil && errors.Is(cause, errWanted) {
		err = fmt.Errorf("%s: %w", operator.EndedWork, cause)
	}
	metas, listed := snapshot.List(h.snapshots())
	err = errors.Join(err, listed)
	wanted := h.reserved(s)
	for _, old := range snapshot.Surplus(metas, s.Keep) {
		if !slices.Contains(wanted, old.Name) {
			err = errors.Join(err, snapshot.Remove(h.snapshots(), old))
		}
	}
	if err != nil {
		return "", err
	}
	result := fmt.Sprintf("%s was taken and verified: revision %d, %d keys, %d bytes, stored in %d",
		taken.Name, taken.Revision, taken.Keys, taken.Size, taken.Stored)
	if r.To != "" {
		result += "; " + r.To + " is a copy"
	}
	return result, nil
}

// target returns why nothing can be copied to a path. It is checked before anything is asked of the
// member.
func target(to string) error {
	if to == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(to)); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", filepath.Dir(to))
	}
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("%s already exists", to)
	}
	return nil
}

// awaitFit waits until our member can give a snapshot.
func (h *Host) awaitFit(
	ctx context.Context, m member, p longwork.Progress,
) (size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, fitWait)
	defer cancel()
	err = poll(ctx, time.Second, func(ctx context.Context) (bool, error) {
		var why error
		if size, why = h.fit(ctx, m); why != nil {
			p("wait, "+why.Error(), 0, 0)
		}
		return why == nil, why
	})
	return size, err
}

// reserved are the snapshots that work reads, or is about to, and the one that an operation on
// record names: none of them may be dropped meanwhile.
func (h *Host) reserved(s operator.Schedule) []string {
	names := []string{s.Wanted}
	for _, w := range h.lookWork() {
		if w.State == operator.WorkRuns && w.Snapshot != "" {
			names = append(names, w.Snapshot)
		}
	}
	return names
}

// roomForCopy returns how much of the space for snapshots a copy at that path takes. A copy on the
// data's disk must leave enough room there.
func (h *Host) roomForCopy(to string, size int64) (int64, error) {
	switch dir := filepath.Dir(to); {
	case to == "":
	case sameDisk(dir, h.snapshots()):
		return size, nil
	case sameDisk(dir, h.state()):
		return 0, roomBeside(dir, size)
	}
	return 0, nil
}

func sameDisk(a, b string) bool {
	var of, with unix.Stat_t
	return unix.Stat(a, &of) == nil && unix.Stat(b, &with) == nil && of.Dev == with.Dev
}

// makeRoom drops the snapshots that must make way for one of a database of that size; work is how
// many more bytes are needed while it is taken. It first removes the remains of snapshots that were
// cut off.
func (h *Host) makeRoom(ctx context.Context, s operator.Schedule, size, work int64) error {
	parts, _ := filepath.Glob(filepath.Join(h.snapshots(), "*.part"))
	for _, part := range parts {
		_ = os.Remove(part)
	}
	metas, err := snapshot.List(h.snapshots())
	if err != nil {
		return err
	}
	kept := h.lookKept(s.Space)
	b := snapshot.Budget{Space: kept.Space, Free: kept.Free, Database: size}
	for _, a := range kept.Aside {
		b.Aside += a.Bytes
	}
	guess, wanted := snapshot.Guess(metas, size), h.reserved(s)
	for i, m := range metas {
		if slices.Contains(wanted, m.Name) {
			metas[i].Why = cmp.Or(m.Why, "wanted")
		}
	}
	drop, err := b.Room(metas, guess, work)
	if err != nil {
		return err
	}
	for _, old := range drop {
		h.logger.InfoContext(ctx, "dropping a snapshot for the next", "name", old.Name)
		if err := snapshot.Remove(h.snapshots(), old); err != nil {
			return err
		}
	}
	return nil
}

// errWanted means that a unit took the turn.
var errWanted = errors.New("a member restarts")

// yielding returns a context that ends when a unit takes the turn: only one upkeep runs at a time,
// and a snapshot gives way. streamed ends the watch and leaves the context as it is.
func (h *Host) yielding(ctx context.Context, m member) (stream context.Context, streamed func()) {
	stream, cancel := context.WithCancelCause(ctx)
	watch, streamed := context.WithCancel(ctx)
	events := m.Watch(watch, turnKey, clientv3.WithFilterDelete())
	go func() {
		for w := range events {
			if len(w.Events) > 0 && watch.Err() == nil {
				cancel(fmt.Errorf("%w: %s took the turn", errWanted, w.Events[0].Kv.Value))
			}
		}
	}()
	return stream, streamed
}

// verifySnapshot reads a snapshot as a restore would.
func (h *Host) verifySnapshot(
	ctx context.Context, r operator.WorkRequest, p longwork.Progress,
) (string, error) {
	p("unpack and check", 0, 0)
	raw := filepath.Join(h.work(r.ID), "unpacked.part")
	if filepath.IsAbs(r.Snapshot) {
		size, err := snapshot.Look(ctx, r.Snapshot)
		if err == nil || errors.Is(err, snapshot.ErrUnhashed) {
			err = roomBeside(h.work(r.ID), size)
		} else if !strings.Contains(err.Error(), r.Snapshot) {
			err = fmt.Errorf("%s: %w", r.Snapshot, err)
		}
		if err != nil {
			return "", err
		}
		s, err := snapshot.VerifyFile(ctx, r.Snapshot, raw, h.etcdutl(), r.Unverified, datadir.ReadUsers)
		if err != nil {
			return "", err
		}
		return verified(r.Snapshot, s), nil
	}
	metas, err := snapshot.List(h.snapshots())
	if err != nil {
		return "", err
	}
	m, err := snapshot.Pick(metas, r.Snapshot)
	if err != nil {
		return "", err
	}
	if err := roomBeside(h.snapshots(), m.Size); err != nil {
		return "", err
	}
	s, err := snapshot.Verify(ctx, h.snapshots(), m, h.etcdutl(), datadir.ReadUsers)
	if err != nil {
		return "", err
	}
	return verified(m.Name, s), nil
}

// verified says what a good snapshot contains.
func verified(name string, s snapshot.Status) string {
	return fmt.Sprintf("%s is good: revision %d, %d keys, %d bytes; %s",
		name, s.Revision, s.Keys, s.Size, usersOf(s.Users))
}

// leastFree is how much of the unit's disk stays free, whatever is unpacked beside the data: etcd
// ends when it cannot write.
const leastFree = 1 << 30

func roomBeside(dir string, size int64) error {
	_, free, err := fileSystem(dir)
	if err == nil && free-size < leastFree {
		err = fmt.Errorf("%w: %d bytes are free, and %d are needed beside the data",
			snapshot.ErrNoRoom, free, size+leastFree)
	}
	return err
}

// writeMetrics writes metrics about the unit's snapshots in Prometheus' text format, for a node
// exporter's textfile collector.
func (h *Host) writeMetrics() error {
	metas, err := snapshot.List(h.snapshots())
	if err != nil {
		return err
	}
	var b strings.Builder
	gauge := func(name, help string, value int64) {
		fmt.Fprintf(&b,
			"# HELP etcd_charm_snapshot_%[1]s %[2]s\n# TYPE etcd_charm_snapshot_%[1]s gauge\netcd_charm_snapshot_%[1]s{unit=%[3]q} %[4]d\n",
			name, help, h.unitName, value)
	}
	last, found := snapshot.Newest(metas)
	if found {
		gauge("last_success_timestamp_seconds",
			"When the last good snapshot was taken.", last.Taken.Unix())
		gauge("last_size_bytes", "Size of the database in the last good snapshot.", last.Size)
		gauge("last_stored_bytes", "Size of the last good snapshot on disk.", last.Stored)
		gauge("last_revision", "Revision of the last good snapshot.", last.Revision)
	}
	good, failed := int64(0), int64(0)
	for _, m := range metas {
		if m.Good() {
			good++
		}
	}
	if len(metas) > 0 && !metas[len(metas)-1].Good() {
		failed = 1
	}
	gauge("count", "How many good snapshots are kept.", good)
	gauge("last_failed", "Whether the last attempt to take a snapshot failed.", failed)
	if err := directory(h.metricsDir(), 0o755, h.adminOwner()); err != nil {
		return err
	}
	return renameio.WriteFile(h.metrics(), []byte(b.String()), public,
		renameio.WithTempDir(h.metricsDir()), renameio.WithStaticPermissions(public))
}
