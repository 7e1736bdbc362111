package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// How often the member list is read: as often as the peers are asked where connections are open,
// every few of those rounds where none is.
const idleRounds = 3

// learned is the member list as the cluster itself has it. It is for the time in which nobody
// writes the configuration: the agent that does may be stopped while members move.
//
// It is believed within the trust that the configuration gives. Each member that is asked has shown
// a certificate of the configured authority. The list is that of one cluster, the one that the
// configured members are of; a member known from the list alone cannot change which. And the first
// list of another configuration, or authority, takes its place.
//
// A member is asked for the list when it has just answered a linearizable read, so its list is at
// least as new as that. (Before 3.5 etcd ignores the wish for a linearizable list.) A list that was
// not read this way is never used: a member that is cut off from its quorum would bring back
// members that have left, and without a quorum the list does not change.
type learned struct {
	Under   string         `json:"under"`      // identity of the configuration
	Cluster uint64         `json:"cluster_id"` // etcd's ID of the cluster
	Members []listedMember `json:"members"`
	old     bool           // from another configuration: it does not show that a member has left
}

// identity is what a list is bound to: the configured members, and the authority.
func identity(c Config, creds *credentials) string {
	h := sha256.New()
	for _, m := range c.Members {
		fmt.Fprintf(h, "%q %q %q\n", m.Name, m.PeerURL, m.ClientURL)
	}
	if creds != nil {
		h.Write(creds.ca)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// of is what of l can be used under a configuration. Under its own that is all of it. Under one
// that shares an address with it, either may be the older: then the list adds members, and none
// counts as having left. Otherwise it is nothing. Names alone prove nothing: many clusters use the
// same.
func (l learned) of(c Config, creds *credentials) learned {
	id := identity(c, creds)
	if l.Under == id {
		return l
	}
	shared := func(m Member) bool {
		return match(Member{PeerURL: m.PeerURL, ClientURL: m.ClientURL}, l.Members) >= 0
	}
	if !slices.ContainsFunc(c.Members, shared) {
		return learned{}
	}
	l.Under, l.old = id, true
	return l
}

// lost reports whether a configured member has left the cluster. The list must know another of
// them: it may call them all by names and URLs that the configuration does not use.
func (l learned) lost(m Member, c Config) bool {
	knows := func(m Member) bool { return match(m, l.Members) >= 0 }
	return !l.old && !knows(m) && slices.ContainsFunc(c.Members, knows)
}

// readLearned reads what was kept at path, and returns nothing if it cannot be used. Hooks read it
// too, as root, so it follows no link: the proxy's user, which may write there, would otherwise
// choose what root opens.
func readLearned(path string, c Config, creds *credentials) (learned, error) {
	if path == "" {
		return learned{}, nil
	}
	data, err := readBounded(path, os.O_RDONLY|syscall.O_NOFOLLOW)
	if errors.Is(err, os.ErrNotExist) {
		return learned{}, nil
	}
	var l learned
	if err == nil {
		err = json.Unmarshal(data, &l)
	}
	if err != nil {
		return learned{}, fmt.Errorf("cannot read the members learned before: %w", err)
	}
	if l.Under != identity(c, creds) {
		return learned{}, nil
	}
	return l, nil
}

// write keeps l at path for the next start.
func (l learned) write(path string) error {
	if path == "" {
		return nil
	}
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("cannot keep members: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".members-")
	if err != nil {
		return fmt.Errorf("cannot keep members: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("cannot keep members: %w", err)
	}
	return nil
}

// readMembers reads the member list from a member that answers a linearizable read.
func readMembers(ctx context.Context, conn *grpc.ClientConn) (learned, error) {
	if err := readQuorum(ctx, conn); err != nil {
		return learned{}, fmt.Errorf("cannot read through the quorum: %w", err)
	}
	resp, err := pb.NewClusterClient(conn).MemberList(ctx, &pb.MemberListRequest{Linearizable: false})
	if err != nil {
		return learned{}, fmt.Errorf("cannot read member list: %w", err)
	}
	l := learned{Cluster: resp.GetHeader().GetClusterId()}
	for _, m := range resp.GetMembers() {
		l.Members = append(l.Members, listedMember{
			Name: m.GetName(), PeerURLs: m.GetPeerURLs(), ClientURLs: m.GetClientURLs(),
			IsLearner: m.GetIsLearner(),
		})
	}
	return l, nil
}

// askMembers reads the member list from the first member that answers; those that are well are
// asked first.
func (p *proxy) askMembers(ctx context.Context) (learned, *backend, error) {
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	type answer struct {
		l  learned
		by *backend
	}
	rest := p.pool.inOrder()
	a, err := race(ctx, func() func(context.Context) (answer, error) {
		if len(rest) == 0 {
			return nil
		}
		b := rest[0]
		rest = rest[1:]
		return func(ctx context.Context) (answer, error) {
			conn, err := b.checker.open(p.dialer(b), b.addr)
			if err != nil {
				return answer{}, err
			}
			l, err := readMembers(ctx, conn)
			return answer{l, b}, err
		}
	}, func(answer) {})
	return a.l, a.by, err
}

// dialer dials b with the current credentials.
func (p *proxy) dialer(b *backend) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		_, creds := p.files.current()
		return dial(ctx, b.target, creds, alpnH2)
	}
}

// learn reads the member list and follows it.
func (p *proxy) learn(ctx context.Context) {
	id := identity(p.files.current()) // the list is of the configuration it was asked under
	l, by, err := p.askMembers(ctx)
	if err != nil {
		p.log.Debug("member list cannot be read", "error", err)
		return
	}
	l.Under = id
	p.mu.Lock()
	before := p.learned
	foreign := before.Cluster != 0 && before.Cluster != l.Cluster && p.pool.isSpare(by)
	if !foreign {
		p.learned = l
	}
	p.mu.Unlock()
	if foreign {
		p.log.Warn("member is of another cluster than the configured ones, its list is not used",
			"member", by.label(), "url", by.url)
		return
	}
	if before.old || !l.same(before) {
		if err := l.write(p.keep); err != nil {
			p.log.Warn("members are not known at the next start", "error", err)
		}
	}
	p.retarget()
}

func (l learned) same(o learned) bool {
	return l.Under == o.Under && l.Cluster == o.Cluster &&
		slices.EqualFunc(l.Members, o.Members, func(a, b listedMember) bool {
			return a.Name == b.Name && a.IsLearner == b.IsLearner &&
				slices.Equal(a.PeerURLs, b.PeerURLs) && slices.Equal(a.ClientURLs, b.ClientURLs)
		})
}

// watchList follows the member list until ctx ends.
func (p *proxy) watchList(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		start := time.Now()
		if _, used := p.pool.roster(); len(used) > 0 || n%idleRounds == 0 {
			p.learn(ctx)
		}
		pause(ctx, time.Until(start.Add(discoverInterval)), p.learnKick)
		pause(ctx, time.Until(start.Add(discoverMinGap)), nil)
	}
}
