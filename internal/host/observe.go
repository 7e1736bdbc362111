package host

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// Observe looks at the machine and the cluster. It takes about 3 s at most, and three times as long
// if a member that goes on answering is far away; before a cluster is taken for lost, as long again
// as the gate takes. A cluster that does not answer is no error, nor is a file that cannot be read.
// If the disk does not answer, the World says nothing else.
func (h *Host) Observe(ctx context.Context, m operator.Model) (operator.World, error) {
	type look struct {
		operator.World
		error
	}
	seen, path := watched(ctx, h.watch, h.muteIn, func() look {
		w, err := h.observe(ctx, m)
		return look{w, err}
	})
	if path != "" {
		return operator.World{Mute: path}, nil
	}
	return seen.World, seen.error
}

func (h *Host) observe(ctx context.Context, m operator.Model) (operator.World, error) {
	now := h.now()
	w := operator.World{
		Period: pki.PeriodOf(now), Now: now.Unix(), Paths: h.memberPaths(), Socket: h.socket(),
	}
	if err := h.lookReleases(&w); err != nil {
		return operator.World{}, err
	}
	env, _ := envLines(h.memberEnv()) // an unreadable file counts as not written by us
	state, err := h.supervisor.state(ctx)
	if err != nil {
		return operator.World{}, fmt.Errorf("cannot look at service: %w", err)
	}
	if w.Installed != "" {
		w.Astray = h.lookAstray(state, w.Carried)
	}
	w.Service = operator.Service{
		Kind: state.Kind, Enabled: state.enabled, Running: state.process.alive(), Failing: state.failing,
		Crashes: state.crashes, Age: state.age, Starved: state.starved, Memory: state.memory,
		Held:   state.held,
		Config: state.process.config(), Settings: state.process.settings(),
		Release: state.process.release(), Log: state.log,
		PeerURL:   lookup(state.process.env, "ETCD_INITIAL_ADVERTISE_PEER_URLS"),
		ClientURL: lookup(state.process.env, "ETCD_ADVERTISE_CLIENT_URLS"),
		Listens:   listens(state.process.env),
		Restart:   lookup(state.process.env, operator.RestartVar),
	}
	w.Machine = h.lookMachine(ctx, m.Config)
	// If a service of another kind is written, the member's settings are left over from an earlier
	// one.
	if state.Kind == operator.MemberService {
		w.WrittenConfig, w.WrittenInitial = h.lookSettings(env, state), operator.InitialOf(env)
		w.WrittenRelease = lookup(env, "CHARM_RELEASE")
		w.WrittenRestart = lookup(env, operator.RestartVar)
	}
	w.Proxy = h.lookProxy(state)
	w.Data = h.lookData()
	w.Fence, w.Prepared = h.lookFence(), h.lookPrepared()
	w.Disk = h.lookDisk()
	w.Leftovers = h.leftovers()
	if state.Kind == operator.MemberService {
		w.Schedule = h.lookSchedule()
	}
	w.Work, w.Kept = h.lookWork(), h.lookKept(m.Config.KeepBytes)

	serving := servingEnv(state, env)
	access, own := h.access(m.Authority.Value), ownURL(serving)
	survey := operator.NewSurvey(m, w.Data, own, h.listedURLs())
	var live, ready bool
	parallel(
		func() { w.TLS = h.lookTLS(m) },
		func() { live, ready = lookHealth(ctx, serving) },
		func() { h.lookCluster(ctx, access, survey) },
	)
	v := view{survey.Find(live, ready), access, own, survey.Fit}
	w.Reach, w.ClusterID, w.Members = v.Reach, v.ClusterID, v.Members
	w.Alarms, w.Auth, w.Turn, w.Local = v.Alarms, v.Auth, v.Turn, v.Local
	// Without certificates nobody can be asked.
	if answers, err := askPeers(ctx, operator.PeersInDoubt(m, w), func(key string) string {
		return lookup(env, key)
	}); err == nil {
		w.Peers = judged(answers)
	}
	if operator.ProgressInDoubt(w.Data, w.Members) {
		w.Data.Bytes = h.snapBytes()
	}
	if w.Reach != operator.Healthy && w.Data.State == operator.OurData {
		w.Log = h.lookLog()
	}
	if operator.AgeInDoubt(m.Memory.Value, w.Data, w.Local) {
		end := h.lookLogEnd()
		w.Data.Term, w.Data.Index = end.term, end.index
	}
	if w.Service.Running && !w.Service.Failing && !live && state.Kind == operator.MemberService {
		w.Service.Log = h.supervisor.waitsFor(ctx)
	}
	if w.Local.Ready {
		w.Service.Failing, w.Service.Log = false, "" // it did fail, a moment ago
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen, w.Hashes = v, h.hashes
	if misled := survey.Misled(); !slices.Equal(misled, h.misled) {
		h.misled = misled
		h.logger.WarnContext(ctx, "members are named at addresses that are not dialled",
			"addresses", misled)
	}
	return w, nil
}

// listedURLs returns the URLs of the members in the last look's member list.
func (h *Host) listedURLs() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var urls []string
	for _, m := range h.seen.Members {
		urls = append(urls, h.seen.urls(m.ID, m.ClientURLs)...)
	}
	return urls
}

func (h *Host) lookReleases(w *operator.World) error {
	carried, err := carriedRelease(h.carried, h.stamp)
	if err != nil {
		return err
	}
	installed := h.installedReleases(carried)
	w.Carried = carried
	switch {
	case slices.Contains(installed, carried):
		w.Installed = carried
	case len(installed) > 0:
		w.Installed = installed[0]
	}
	return nil
}

// servingEnv returns the settings with which our member serves: the live process's environment, or
// else what is written.
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

// Seen returns the IDs of the members that our own member lists, and the turn as that member has
// it, within 1 s. It returns none when there is no member of ours or it does not answer. Seen must
// be called before Juju is asked, so that no member is judged by a goal-state that is older than
// the member.
func (h *Host) Seen(ctx context.Context) ([]uint64, operator.Turn) {
	type look struct {
		ids  []uint64
		turn operator.Turn
	}
	seen, path := watched(ctx, h.watch, h.muteIn, func() look {
		ids, turn := h.list(ctx)
		return look{ids, turn}
	})
	if path != "" {
		return nil, operator.Turn{}
	}
	return seen.ids, seen.turn
}

func (h *Host) list(ctx context.Context) ([]uint64, operator.Turn) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	env, err := envLines(h.memberEnv())
	if err != nil || env == nil {
		return nil, operator.Turn{}
	}
	state, err := h.supervisor.state(ctx)
	if err != nil || !state.process.alive() {
		return nil, operator.Turn{}
	}
	url := ownURL(servingEnv(state, env))
	if url == "" {
		return nil, operator.Turn{}
	}
	m, err := h.access(nil).dial(url)
	if err != nil {
		return nil, operator.Turn{}
	}
	defer ignoreClose(m)
	resp, err := m.MemberList(ctx, clientv3.WithSerializable())
	if err != nil {
		return nil, operator.Turn{}
	}
	ids := make([]uint64, 0, len(resp.Members))
	for _, listed := range resp.Members {
		ids = append(ids, listed.ID)
	}
	slices.Sort(ids)
	var turn operator.Turn
	if read, err := m.Get(ctx, turnKey, clientv3.WithSerializable()); err == nil {
		turn = turnOf(read.Kvs)
	}
	return ids, turn
}

// parallel runs all functions and waits for them.
func parallel(fs ...func()) {
	var wg sync.WaitGroup
	for _, f := range fs {
		wg.Go(f)
	}
	wg.Wait()
}
