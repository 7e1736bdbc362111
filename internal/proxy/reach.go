package proxy

import (
	"context"
	"errors"
	"fmt"
)

var errNoMember = errors.New("no member of the cluster can be reached")

// reach opens a connection to a member, which the pool counts until it is detached. client is
// closed together with it; it may be nil.
func (p *proxy) reach(ctx context.Context, client socket, alpn string) (*backend, *link, error) {
	p.follow()
	b, up, err := p.connect(ctx, alpn)
	if err != nil {
		return nil, nil, err
	}
	l := &link{client: client, up: up, variant: p.variant}
	if !p.pool.attach(b, l) {
		l.close()
		return nil, nil, fmt.Errorf("%w: %s is no longer a member", errNoMember, b.label())
	}
	if p.resting.Swap(false) {
		kick(p.healthKick)
	}
	return b, l, nil
}

// connect finds a member for one client within dialTimeout, each tried once.
func (p *proxy) connect(ctx context.Context, alpn string) (*backend, *upstream, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var tried []*backend
	next := func() func(context.Context) (opened, error) {
		if len(tried) > 0 { // it has failed, or is slow
			kick(p.discoverKick)
			kick(p.learnKick)
			kick(p.healthKick)
		}
		b := p.pool.pick(tried)
		if b == nil {
			return nil
		}
		tried = append(tried, b)
		return func(ctx context.Context) (opened, error) {
			_, creds := p.files.current()
			up, err := dialAs(ctx, p.variant, b.target, creds, alpn, func() {})
			switch {
			case err != nil && errors.Is(ctx.Err(), context.Canceled):
				p.pool.overtaken(b)
			case err != nil:
				p.pool.fail(b, err)
			}
			return opened{b, up}, err
		}
	}
	o, err := race(ctx, next, func(o opened) {
		p.pool.overtaken(o.b)
		_ = o.up.raw.Close()
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoMember, err)
	}
	return o.b, o.up, nil
}

// opened is a connection to a member.
type opened struct {
	b  *backend
	up *upstream
}
