package proxy

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/juju-charms/etcd-charm/interfaces/address"
)

// How often the members are asked for their client URLs, where the configuration does not give
// them, and how long they may take to answer. The first clients wait for the first answer, but not
// longer than firstWait.
const (
	discoverInterval = 10 * time.Second
	discoverMinGap   = time.Second
	discoverTimeout  = dialTimeout
	firstWait        = 2 * time.Second
)

// maxListBytes bounds the answer; a member takes about 200 bytes.
const maxListBytes = 1 << 20

// listing is a member list and the peer URL that gave it. The zero value is
// none.
type listing struct {
	from    string
	members []listedMember
}

// discover asks the configured members in random order for the member list and
// returns the first answer. It fails where the peer port has a CA of its own,
// or checks clients more strictly; targets then guesses.
func discover(ctx context.Context, c Config, creds *credentials) (listing, error) {
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	judge := c.judge()
	client := membersClient(creds, &judge)
	defer client.CloseIdleConnections()
	order := rand.Perm(len(c.Members))
	next := func() func(context.Context) (listing, error) {
		for len(order) > 0 {
			url := c.Members[order[0]].PeerURL
			order = order[1:]
			if url == "" || judge.URL(url) != address.Fit {
				continue
			}
			return func(ctx context.Context) (listing, error) {
				ms, err := listMembers(ctx, client, url)
				return listing{from: url, members: ms}, err
			}
		}
		return nil
	}
	l, err := race(ctx, next, func(listing) {})
	if err != nil {
		return listing{}, fmt.Errorf("no member answered on its peer URL: %w", err)
	}
	return l, nil
}

// membersClient speaks HTTP/1.1 only: the peer port offers h2 in its handshake but does not serve
// it. It follows no redirects and uses no web proxy.
func membersClient(creds *credentials, judge *address.Judge) *http.Client {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		whoever := target{host: host, judge: judge}
		d := net.Dialer{Control: func(_, place string, _ syscall.RawConn) error {
			return whoever.judged(place)
		}}
		return d.DialContext(ctx, network, addr)
	}
	tr := &http.Transport{DialContext: dial, DisableKeepAlives: true, ForceAttemptHTTP2: false}
	if creds != nil {
		tr.TLSClientConfig = creds.config("", alpnHTTP1)
	}
	return &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func listMembers(ctx context.Context, client *http.Client, peerURL string) ([]listedMember, error) {
	u, err := parseURL(peerURL)
	if err != nil {
		return nil, err
	}
	u.Path = "/members"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("cannot ask for members: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("cannot ask for members: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("cannot ask for members: %s answers %s", u, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxListBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read member list: %w", err)
	}
	if len(body) > maxListBytes {
		return nil, fmt.Errorf("cannot use member list: larger than %d bytes", maxListBytes)
	}
	return decodeMembers(body)
}

// refreshListing asks for the listing if it is needed. After a failure it keeps what it learnt
// before: an address that was once right is a better guess than none.
func (p *proxy) refreshListing(ctx context.Context) error {
	cfg, creds := p.files.current()
	if !needsListing(cfg) {
		return nil
	}
	l, err := discover(ctx, cfg, creds)
	if err == nil {
		p.listed(l)
	}
	return err
}

// watchMembers keeps the listing fresh until ctx ends. It closes first after the first attempt.
func (p *proxy) watchMembers(ctx context.Context, first chan<- struct{}) {
	failing := false
	for ctx.Err() == nil {
		start := time.Now()
		err := p.refreshListing(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			p.log.Warn("cannot read the member list from the peer URLs, client URLs are guessed",
				"error", err)
		}
		failing = err != nil
		if first != nil {
			close(first)
			first = nil
		}
		pause(ctx, time.Until(start.Add(discoverInterval)), p.discoverKick)
		pause(ctx, time.Until(start.Add(discoverMinGap)), nil)
	}
}
