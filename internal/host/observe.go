package host

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// Observe looks at machine and cluster, at most about 3 s long. A cluster that does not answer is no error.
func (h *Host) Observe(ctx context.Context, m operator.Model) (operator.World, error) {
	now := h.now()
	w := operator.World{Period: pki.PeriodOf(now), Now: now.Unix()}
	if err := h.lookReleases(&w); err != nil {
		return operator.World{}, err
	}
	env, err := envLines(h.memberEnv())
	if err != nil {
		return operator.World{}, err
	}
	state, err := h.supervisor.state(ctx)
	if err != nil {
		return operator.World{}, fmt.Errorf("cannot look at service: %w", err)
	}
	w.Service = operator.Service{
		Kind: state.Kind, Enabled: state.enabled, Running: state.process.alive(), Failing: state.failing, Crashes: state.crashes,
		Config: state.process.config(), Release: state.process.release(), Log: state.log,
		PeerURL:   lookup(state.process.env, "ETCD_INITIAL_ADVERTISE_PEER_URLS"),
		ClientURL: lookup(state.process.env, "ETCD_ADVERTISE_CLIENT_URLS"),
	}
	// The settings come last of what WriteMember writes. With a service of another kind they are of former times.
	if env != nil && state.Kind == operator.MemberService {
		w.WrittenConfig, w.WrittenInitial = operator.EnvDigest(env), operator.InitialOf(env)
		w.WrittenRelease = lookup(env, "CHARM_RELEASE")
	}
	if w.Proxy, err = h.lookProxy(state); err != nil {
		return operator.World{}, err
	}
	w.Data = h.lookData()

	authority := modelAuthority(m)
	serving := servingEnv(state, env)
	access := h.access(authority)
	n := nameMembers(m, w.Data)
	var v view
	parallel(
		func() { w.TLS = h.lookTLS(m, authority) },
		func() { w.Local.Live, w.Local.Ready = lookHealth(ctx, serving) },
		func() { v = h.lookCluster(ctx, access, ownURL(serving), n, w.Data) },
	)
	if authority != nil && w.TLS.Trust == trustDigest(authority.TrustPeer, authority.TrustClient) {
		w.TLS.Trust = m.Authority.Value.Trust
	}
	w.Local = localOf(w.Local, v, w.Data)
	if w.Local.Ready {
		w.Service.Failing, w.Service.Log = false, "" // it did fail, a moment ago
	}
	v.reach = reached(v, n, w)
	w.Reach, w.ClusterID, w.Members = v.reach, v.clusterID, v.describe()
	w.Alarms, w.Turn = v.alarms(), v.turn()
	if w.Reach == operator.NoQuorum && w.ClusterID == 0 {
		w.ClusterID = w.Data.ClusterID
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = v
	return w, nil
}

// reached says how far the named cluster was reached.
func reached(v view, n named, w operator.World) operator.Reach {
	switch {
	case v.linear:
		return operator.Healthy
	case len(v.answers) > 0:
		return operator.NoQuorum
	case w.Local.Live && w.Data.State == operator.OurData && n.counts(w.Data.ClusterID):
		// A server that was started without quorum answers on its metrics URL only.
		return operator.NoQuorum
	case n.anybody:
		return operator.Unreachable
	default:
		return operator.Absent
	}
}

func localOf(l operator.Local, v view, data operator.Data) operator.Local {
	if s := v.ownAnswer.status; s != nil {
		l.Live = true
		l.ClusterID, l.MemberID = v.ownAnswer.clusterID(), v.ownAnswer.memberID()
	} else if l.Live {
		l.ClusterID, l.MemberID = data.ClusterID, data.MemberID
	}
	list := v.ownAnswer.list
	if list == nil && l.ClusterID != 0 && l.ClusterID == v.clusterID {
		list = v.members // a learner gives no list
	}
	for _, m := range list {
		if !m.IsLearner {
			l.Voters++
		}
	}
	// A member that has just joined takes itself for a voter until it has read in the log that it is none, and says
	// that it is ready.
	if self := find(v.members, l.MemberID); self != nil && self.IsLearner && l.ClusterID == v.clusterID {
		l.Ready = false
	}
	return l
}

func (h *Host) lookReleases(w *operator.World) error {
	carried, err := carriedRelease(h.carried)
	if err != nil {
		return err
	}
	installed, err := h.installedReleases()
	if err != nil {
		return err
	}
	w.Carried = carried
	switch {
	case slices.Contains(installed, carried):
		w.Installed = carried
	case len(installed) > 0:
		w.Installed = installed[0]
	}
	return nil
}

func modelAuthority(m operator.Model) *pki.Authority {
	if !m.Authority.OK || m.Authority.Value == nil {
		return nil
	}
	a, err := pki.DecodeAuthority(m.Authority.Value.Content)
	if err != nil {
		return nil
	}
	return &a
}

// servingEnv is what our member serves with: the live process's environment, else what is written.
func servingEnv(state serviceState, written []string) []string {
	if state.process.alive() && lookup(state.process.env, "ETCD_NAME") != "" {
		return state.process.env
	}
	if state.Kind != operator.MemberService {
		return nil
	}
	return written
}

// ownURL is our own member's client URL as this machine reaches it; "" is none.
func ownURL(env []string) string { return localURL(lookup(env, "ETCD_LISTEN_CLIENT_URLS")) }

func lookHealth(ctx context.Context, env []string) (live, ready bool) {
	metrics := localURL(lookup(env, "ETCD_LISTEN_METRICS_URLS"))
	if metrics == "" {
		return false, false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	parallel(
		func() { live = healthy(ctx, metrics, "/livez") },
		func() { ready = healthy(ctx, metrics, "/readyz") },
	)
	return live, ready
}

// Seen returns the IDs of the members that our own member lists, within 1 s; none when there is no member of ours or
// it does not answer. It is asked before Juju is, so that nobody is judged by a goal-state older than himself.
func (h *Host) Seen(ctx context.Context) []uint64 {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	env, err := envLines(h.memberEnv())
	if err != nil || env == nil {
		return nil
	}
	state, err := h.supervisor.state(ctx)
	if err != nil || !state.process.alive() {
		return nil
	}
	url := ownURL(servingEnv(state, env))
	if url == "" {
		return nil
	}
	m, err := h.access(nil).dial(url)
	if err != nil {
		return nil
	}
	defer ignoreClose(m)
	resp, err := m.MemberList(ctx, clientv3.WithSerializable())
	if err != nil {
		return nil
	}
	ids := make([]uint64, 0, len(resp.Members))
	for _, listed := range resp.Members {
		ids = append(ids, listed.ID)
	}
	slices.Sort(ids)
	return ids
}

// parallel runs all functions and waits for them.
func parallel(fs ...func()) {
	var wg sync.WaitGroup
	for _, f := range fs {
		wg.Go(f)
	}
	wg.Wait()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func compareIDs(a, b uint64) int { return cmp.Compare(a, b) }
