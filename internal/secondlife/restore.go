package secondlife

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/datadir"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// Jump is how far beyond every revision that was seen restored data begins. Clients may have seen
// later revisions since: this is eleven days at a thousand writes a second.
const Jump = 1_000_000_000

// OwnKeys is the prefix of the keys that the charm itself keeps in etcd. They are about the former
// cluster.
const OwnKeys = "etcd-charm/"

// PrepareRestore makes data from a snapshot, ready to be served, while the cluster goes on. It says
// in words what it restored.
func (u Unit) PrepareRestore(
	ctx context.Context, r operator.WorkRequest, say Progress,
) (string, error) {
	if words, ok := u.already(r.ID); ok {
		return words, nil
	}
	as, err := identityOf(r)
	if err != nil {
		return "", inWords("restore", err)
	}
	m, err := u.begin(r.ID, say)
	if err != nil {
		return "", inWords("restore", err)
	}
	words, err := func() (string, error) {
		s, err := u.find(ctx, r)
		if err != nil {
			return "", err
		}
		made, err := m.restored(ctx, s, as, r.Seen, nil)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.words, err)
		}
		return fmt.Sprintf("restored %s: %s", s.words, made), m.settle()
	}()
	return words, inWords("restore", errors.Join(err, m.end()))
}

// restoration is the outcome of making data from a database.
type restoration struct {
	was   int64 // the revision of the database
	is    int64 // at which the data begins
	keys  int64
	notes []string
}

func (r restoration) String() string {
	words := fmt.Sprintf("%d keys, revision %d, which is %d from now on", r.keys, r.was, r.is)
	return strings.Join(append([]string{words}, r.notes...), "; ")
}

// restored makes data from a database, serves it once and puts it right. If read is set it reads
// the data back.
func (m making) restored(
	ctx context.Context, s source, as identity, seen int64,
	read func(context.Context, *server) error,
) (restoration, error) {
	need := s.size + logRoom
	if s.packed {
		need += s.size
	}
	if err := m.room(need); err != nil {
		return restoration{}, err
	}
	s, err := m.unpacked(ctx, s)
	if err != nil {
		return restoration{}, err
	}
	db, err := datadir.ReadDB(s.path)
	if err == nil {
		err = tooNew(db)
	}
	if err != nil {
		return restoration{}, err
	}
	bump, err := jump(db.Revision, seen)
	if err != nil {
		return restoration{}, err
	}
	// etcd's check of every page and key takes as long as everything else together. It runs at the
	// same time, and nothing counts before it has ended.
	type checked struct {
		snapshot.Status
		error
	}
	check := make(chan checked, 1)
	go func() {
		status, err := snapshot.DeepCheck(ctx, m.Etcdutl, s.path)
		check <- checked{status, err}
	}()
	out := restoration{was: db.Revision, is: db.Revision + bump}
	if db.Revision == 1 {
		// Without any write etcd is at revision 1, but etcdutl counts from the last revision that
		// it finds.
		bump++
	}
	failed := func() error {
		m.say("restore", 0, s.size)
		if err := m.etcdutl(ctx, s, as, bump); err != nil {
			return err
		}
		m.say("serve", 0, s.size)
		return m.putRight(ctx, as, s.size, &out, read)
	}()
	m.say("check", 0, s.size)
	found := <-check
	switch {
	case errors.Is(failed, snapshot.ErrHash):
		return out, failed
	case found.error != nil:
		return out, found.error
	case failed != nil:
		return out, failed
	// A database that was restored before may have one more key, without a name, where its
	// revisions jumped: no client can read it.
	case int64(found.Keys) != out.keys && int64(found.Keys) != out.keys+1:
		return out, fmt.Errorf("it has %d keys, but %d were read back", found.Keys, out.keys)
	}
	return out, nil
}

// jump is how much is added to the revisions.
func jump(revision, seen int64) (int64, error) {
	if beyond := max(revision, seen); beyond < 0 || beyond > math.MaxInt64-2*Jump {
		return 0, fmt.Errorf("revision %d leaves no room for later ones", beyond)
	}
	return max(0, seen-revision) + Jump, nil
}

// unpacked is the source, unpacked if it was packed.
func (m making) unpacked(ctx context.Context, s source) (source, error) {
	if !s.packed {
		return s, nil
	}
	m.say("unpack", 0, s.size)
	unpack, to := snapshot.Unpack, m.path("snapshot.db")
	if !s.hashed {
		unpack = snapshot.UnpackUnverified
	}
	sum, size, err := unpack(ctx, s.path, to)
	if err == nil && s.sum != "" && s.sum != sum {
		err = errors.New("it is not the one that was recorded")
	}
	s.path, s.size, s.packed = to, size, false
	return s, err
}

// etcdutl runs etcd's own tool to make the data.
func (m making) etcdutl(ctx context.Context, s source, as identity, bump int64) error {
	args := []string{
		"snapshot", "restore", s.path, "--data-dir=" + m.data(),
		"--name=" + as.name, "--initial-cluster=" + as.name + "=" + as.peerURL,
		"--initial-advertise-peer-urls=" + as.peerURL, "--initial-cluster-token=" + as.token,
		"--bump-revision=" + strconv.FormatInt(bump, 10), "--mark-compacted",
	}
	// What we unpacked was compared with its hash, and only root can have changed it since.
	if !s.hashed || filepath.Dir(s.path) == m.dir {
		args = append(args, "--skip-hash-check")
	}
	err := run(ctx, m.Etcdutl, args...)
	if err != nil && strings.Contains(err.Error(), "expected sha256") {
		return snapshot.ErrHash
	}
	return err
}

// putRight serves the data once, removes what is about the former cluster, and reads the data back.
func (m making) putRight(
	ctx context.Context, as identity, size int64, out *restoration,
	read func(context.Context, *server) error,
) error {
	s, err := m.serve(ctx, m.data(), as.name, size)
	if err != nil {
		return err
	}
	err = func() error {
		// The count is at the revision at which the data begins: keys may expire from now on.
		all, err := s.Get(ctx, "\x00",
			clientv3.WithFromKey(), clientv3.WithCountOnly(), clientv3.WithRev(out.is))
		if err != nil {
			return fmt.Errorf("it cannot be read back: %w", err)
		}
		out.keys = all.Count
		if out.is > all.Header.GetRevision() {
			return fmt.Errorf("it is at revision %d, not at %d", all.Header.GetRevision(), out.is)
		}
		if read != nil {
			if err := read(ctx, s); err != nil {
				return fmt.Errorf("it cannot be read back: %w", err)
			}
		}
		return s.clean(ctx, out)
	}()
	if err != nil {
		return errors.Join(err, s.kill())
	}
	return s.stop()
}

// clean removes what is about the former cluster.
func (s *server) clean(ctx context.Context, out *restoration) error {
	auth, err := s.AuthStatus(ctx)
	if err != nil {
		return fmt.Errorf("it does not say whether authentication is on: %w", err)
	}
	if auth.Enabled {
		// Authentication is switched off, because consumers' certificates name no users.
		if _, err := s.AuthDisable(ctx); err != nil {
			return fmt.Errorf("authentication cannot be switched off: %w", err)
		}
		out.notes = append(out.notes, "authentication was on and is off, its users and roles are kept")
	}
	alarms, err := s.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("it does not say which alarms are on: %w", err)
	}
	for _, alarm := range alarms.Alarms {
		if _, err := s.AlarmDisarm(ctx, (*clientv3.AlarmMember)(alarm)); err != nil {
			return fmt.Errorf("alarm %s cannot be disarmed: %w", alarm.GetAlarm(), err)
		}
		out.notes = append(out.notes, fmt.Sprintf("alarm %s was on and is off", alarm.GetAlarm()))
	}
	if err := s.endDowngrade(ctx, out); err != nil {
		return err
	}
	if _, err := s.Delete(ctx, OwnKeys, clientv3.WithPrefix()); err != nil {
		return fmt.Errorf("the charm's own keys cannot be deleted: %w", err)
	}
	leases, err := s.Leases(ctx)
	if err != nil {
		return fmt.Errorf("it does not say which leases there are: %w", err)
	}
	if n := len(leases.Leases); n > 0 {
		out.notes = append(out.notes, fmt.Sprintf("%d leases begin with their full time", n))
	}
	return nil
}

// endDowngrade ends a downgrade that the former cluster had begun. etcdutl keeps it, and etcd would
// go on with it: to 3.6 it would downgrade the new cluster, and whatever the target is, no member
// of the same etcd could join meanwhile (server/v3 etcdserver/version/monitor.go,
// decideClusterVersion; etcdserver/cluster_util.go, allowedVersionRange).
func (s *server) endDowngrade(ctx context.Context, out *restoration) error {
	target := func() (string, error) {
		status, err := s.Status(ctx, s.Endpoints()[0])
		if err != nil {
			return "", fmt.Errorf("it does not say whether it is being downgraded: %w", err)
		}
		if !status.DowngradeInfo.GetEnabled() {
			return "", nil
		}
		return status.DowngradeInfo.GetTargetVersion(), nil
	}
	to, err := target()
	if err != nil || to == "" {
		return err
	}
	// A cancel that fails returns no error: the second look finds that.
	if _, err := s.Downgrade(ctx, clientv3.DowngradeCancel, ""); err != nil {
		return fmt.Errorf("the downgrade to %s cannot be ended: %w", to, err)
	}
	if left, err := target(); err != nil || left != "" {
		return errors.Join(fmt.Errorf("the downgrade to %s cannot be ended", to), err)
	}
	out.notes = append(out.notes, fmt.Sprintf("a downgrade to %s had begun and is ended", to))
	return nil
}
