package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/sim"
	"github.com/juju-charms/etcd-charm/internal/sim/model"
	"github.com/juju-charms/etcd-charm/test/load"
)

// juju is a simulated Juju model. Close ends it with all its processes.
type juju struct {
	*sim.Sim
	refreshed bool // it runs the next release
}

// newJuju returns a model in which nothing is deployed. The caller may change its options.
func (b *bench) newJuju(changes ...func(*sim.Options)) (*juju, error) {
	options := sim.Options{Env: []string{"ETCD_CHARM_ROOT=" + sim.RootVar}, Parallel: 3, Tool: b.tool}
	for _, change := range changes {
		change(&options)
	}
	s, err := sim.New(options)
	if err != nil {
		return nil, fmt.Errorf("cannot simulate: %w", err)
	}
	return &juju{Sim: s}, nil
}

// deployed is a model with n members.
func (b *bench) deployed(ctx context.Context, n int, changes ...func(*sim.Options)) (*juju, error) {
	return b.deployedOf(ctx, b.charm, n, changes...)
}

// deployedOf is a model with n members of a packed charm.
func (b *bench) deployedOf(
	ctx context.Context, charm string, n int, changes ...func(*sim.Options),
) (*juju, error) {
	j, err := b.newJuju(changes...)
	if err != nil {
		return nil, err
	}
	err = errors.Join(j.do(ctx, "deploy", charm, "etcd", "-n", fmt.Sprint(n)), j.healthy(ctx, n))
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

// ask runs a verb.
func (j *juju) ask(ctx context.Context) load.Ask {
	return func(words ...string) (string, error) {
		var out, log bytes.Buffer
		if err := j.Do(ctx, sim.Env{Out: &out, Err: &log}, words...); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, log.String())
		}
		return strings.TrimSpace(out.String()), nil
	}
}

// do runs a verb and drops its output.
func (j *juju) do(ctx context.Context, words ...string) error {
	_, err := j.ask(ctx)(words...)
	return err
}

// healthy lets hooks run until n voters are ready.
func (j *juju) healthy(ctx context.Context, n int) error {
	if err := j.do(ctx, "settle", "--timeout", "10m"); err != nil {
		return err
	}
	return j.do(ctx, "wait", "--timeout", "5m", "etcd", fmt.Sprintf("^active %d/%d voters", n, n))
}

// updateStatus runs update-status on a unit, without other units' hooks, and returns what it cost.
func (j *juju) updateStatus(ctx context.Context, unit string) (model.Record, error) {
	if err := j.Model.UpdateStatus(unit); err != nil {
		return model.Record{}, err
	}
	for {
		r, ran, err := j.Model.Step(ctx, unit, j.Sim)
		switch {
		case err != nil:
			return r, err
		case !ran:
			return r, fmt.Errorf("%s runs no update-status", unit)
		case r.Result != model.ResultDone:
			return r, fmt.Errorf("%s of %s is %s: %s", r.Hook, unit, r.Result, r.Error)
		case r.Hook == "update-status":
			return r, nil
		}
	}
}

// program returns the path of one of the programs that a unit has installed.
func (j *juju) program(ctx context.Context, unit, name string) (string, error) {
	root, err := j.ask(ctx)("root", unit)
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(
		filepath.Join(root, "opt/etcd-charm", strings.ReplaceAll(unit, "/", "-"), "*", name),
	)
	if err != nil || len(found) == 0 {
		return "", errors.Join(fmt.Errorf("%s has no program %s", unit, name), err)
	}
	return slices.Max(found), nil
}
