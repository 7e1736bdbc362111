package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/test/load"
)

// most is the largest number of members started by hand.
const most = 5

// bare is the same servers without the charm: plain processes with the same certificates and
// settings, started and ended by hand, with care. It takes over a model's machines; after that no
// hook may run there.
type bare struct {
	juju    *juju
	servers []*server // the first so many run
	running int
	tls     load.Target
	binary  [2]string
	dir     string
	formed  int // clusters so far
}

func (b *bench) newBare(ctx context.Context) (*bare, error) {
	j, err := b.deployed(ctx, most)
	if err != nil {
		return nil, err
	}
	h := &bare{
		juju:   j,
		dir:    filepath.Join(b.dir, "bare"),
		binary: [2]string{1: filepath.Join(b.dir, "bare", "etcd")},
	}
	if err := h.takeOver(ctx, b.next); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *bare) takeOver(ctx context.Context, next string) error {
	err := errors.Join(os.RemoveAll(h.dir), os.MkdirAll(h.dir, 0o700),
		os.Symlink(filepath.Join(next, "bin", "etcd-charm"), h.binary[1]))
	if err != nil {
		return fmt.Errorf("cannot lay out the next release: %w", err)
	}
	ask := h.juju.ask(ctx)
	if h.tls, err = load.Members(ask); err != nil {
		return err
	}
	for i := range most {
		unit := fmt.Sprintf("etcd/%d", i)
		s, err := settingsOf(ask, unit)
		if err == nil {
			h.binary[0], err = h.juju.program(ctx, unit, "etcd")
		}
		if err == nil {
			_, err = ask("ssh", unit, "systemctl", "stop", "etcd-charm-"+strings.ReplaceAll(unit, "/", "-"))
		}
		if err != nil {
			return err
		}
		h.servers = append(h.servers, &server{unit: unit, binary: h.binary[0], settings: s})
	}
	return nil
}

// Close ends the processes and the model.
func (h *bare) Close() error { return errors.Join(h.end(), h.juju.Close()) }

// end ends the cluster that runs, if one does.
func (h *bare) end() error {
	var all error
	for _, s := range h.servers {
		all = errors.Join(all, s.end(syscall.SIGKILL))
	}
	h.running = 0
	return all
}

// form bootstraps a new cluster of n statically, all at once, and waits until all are ready.
func (h *bare) form(ctx context.Context, n int) error {
	if err := h.end(); err != nil {
		return err
	}
	h.formed++
	h.running = n
	for i, s := range h.servers[:n] {
		h.found(i, "new")
		if err := s.start(); err != nil {
			return err
		}
	}
	return h.ready(ctx)
}

func (h *bare) ready(ctx context.Context) error {
	var all error
	for _, s := range h.servers[:h.running] {
		all = errors.Join(all, s.ready(ctx))
	}
	return all
}

// found gives server i an empty directory, with the servers that run as its initial cluster.
func (h *bare) found(i int, state string) {
	s, token := h.servers[i].settings, fmt.Sprintf("bare-%d", h.formed)
	var members []string
	for _, m := range h.servers[:h.running] {
		members = append(members,
			m.settings["ETCD_NAME"]+"="+m.settings["ETCD_INITIAL_ADVERTISE_PEER_URLS"])
	}
	s["ETCD_DATA_DIR"] = filepath.Join(h.dir,
		fmt.Sprintf("%s-%s-%d", token, s["ETCD_NAME"], time.Now().UnixNano()))
	s["ETCD_INITIAL_CLUSTER"] = strings.Join(members, ",")
	s["ETCD_INITIAL_CLUSTER_STATE"] = state
	s["ETCD_INITIAL_CLUSTER_TOKEN"] = token
}

// target is the cluster that runs.
func (h *bare) target(context.Context) (load.Target, error) {
	t := load.Target{TLS: h.tls.TLS}
	for _, s := range h.servers[:h.running] {
		t.Endpoints = append(t.Endpoints, s.settings["ETCD_ADVERTISE_CLIENT_URLS"])
	}
	return t, nil
}

// leader returns the server that leads, and the others that run.
func (h *bare) leader(ctx context.Context) (*server, []*server, error) {
	t, err := h.target(ctx)
	if err != nil {
		return nil, nil, err
	}
	unit, err := t.Leader(ctx)
	if err != nil {
		return nil, nil, err
	}
	others := slices.Clone(h.servers[:h.running])
	i := slices.IndexFunc(others, func(s *server) bool { return s.unit == unit })
	if i < 0 {
		return nil, nil, fmt.Errorf("%s leads and does not run", unit)
	}
	leader := others[i]
	return leader, slices.Delete(others, i, i+1), nil
}

// roll restarts one server after another, the leader last.
func (h *bare) roll(ctx context.Context) error {
	leader, others, err := h.leader(ctx)
	if err != nil {
		return err
	}
	for _, s := range append(others, leader) {
		if err := s.again(ctx, syscall.SIGTERM); err != nil {
			return err
		}
	}
	return nil
}

// refresh is a roll with the other binary.
func (h *bare) refresh(ctx context.Context) error {
	h.binary[0], h.binary[1] = h.binary[1], h.binary[0]
	for _, s := range h.servers {
		s.binary = h.binary[0]
	}
	return h.roll(ctx)
}

// kill kills the leader, and starts it again.
func (h *bare) kill(ctx context.Context) error {
	leader, _, err := h.leader(ctx)
	if err != nil {
		return err
	}
	return leader.again(ctx, syscall.SIGKILL)
}

// scale adds two members and removes them again.
func (h *bare) scale(ctx context.Context) error {
	return errors.Join(h.join(ctx), h.join(ctx), h.leave(ctx), h.leave(ctx))
}

func (h *bare) client(ctx context.Context) (*clientv3.Client, error) {
	t, err := h.target(ctx)
	if err != nil {
		return nil, err
	}
	return t.Client()
}

// join adds the next server as a learner, starts it, and promotes it as soon as etcd allows that.
func (h *bare) join(ctx context.Context) error {
	c, err := h.client(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	next := h.servers[h.running]
	var id uint64
	err = until(ctx, "a learner to be taken", func() bool {
		added, err := c.MemberAddAsLearner(ctx,
			[]string{next.settings["ETCD_INITIAL_ADVERTISE_PEER_URLS"]})
		if err == nil {
			id = added.Member.ID
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	h.running++
	h.found(h.running-1, "existing")
	if err := next.start(); err != nil {
		return err
	}
	err = until(ctx, "the learner to be promoted", func() bool {
		_, err := c.MemberPromote(ctx, id)
		return err == nil
	})
	return errors.Join(err, next.ready(ctx))
}

// leave removes the last server.
func (h *bare) leave(ctx context.Context) error {
	last := h.servers[h.running-1]
	h.running--
	c, err := h.client(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	list, err := c.MemberList(ctx)
	if err != nil {
		return fmt.Errorf("cannot list members: %w", err)
	}
	for _, m := range list.Members {
		if m.Name != last.settings["ETCD_NAME"] {
			continue
		}
		err = until(ctx, "the member to be removed", func() bool {
			_, err := c.MemberRemove(ctx, m.ID)
			return err == nil
		})
		return errors.Join(err, last.end(syscall.SIGTERM))
	}
	return fmt.Errorf("%s is no member", last.settings["ETCD_NAME"])
}
