package juju

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// NewAuthority makes the certificate authorities of an application.
type NewAuthority func(app string) (*pki.Authority, error)

// Flush publishes what the plan wants, in as few calls as possible: if nothing changed, one
// status-set. Juju commits all of it together when the hook exits 0. An error must make the hook
// fail, so that Juju drops all of it and runs the hook again. The status is set last. If the plan
// itself asks for an error (Plan.Fail), only the status is set before the error is returned.
func Flush(
	ctx context.Context, tools Tools, m operator.Model, p operator.Plan, newAuthority NewAuthority,
) error {
	if p.Fail != nil {
		return errors.Join(p.Fail, SetStatus(ctx, tools, p.Status))
	}
	f := flush{tools: tools, model: m, plan: p, newAuthority: newAuthority}
	for _, publish := range []func(context.Context) error{
		f.version, f.authority, f.secrets, f.bags, f.state, f.ports,
	} {
		if err := publish(ctx); err != nil {
			return fmt.Errorf("cannot publish: %w", err)
		}
	}
	return SetStatus(ctx, tools, p.Status)
}

// SetStatus sets the unit's status. An empty status leaves it as it is.
func SetStatus(ctx context.Context, tools Tools, s operator.Status) error {
	if s.Level == "" {
		return nil
	}
	if _, err := tools.Run(ctx, nil, "status-set", "--", string(s.Level), oneLine(s.Message)); err != nil {
		return fmt.Errorf("cannot set the status: %w", err)
	}
	return nil
}

// flush publishes one plan, part by part.
type flush struct {
	tools        Tools
	model        operator.Model
	plan         operator.Plan
	newAuthority NewAuthority
}

func (f *flush) version(ctx context.Context) error {
	if f.plan.Version == "" {
		return nil
	}
	_, err := f.tools.Run(ctx, nil, "application-version-set", f.plan.Version)
	return err
}

// authority stores new certificate authorities: in a secret of the application or, where Juju has
// no secrets, in the peer application bag.
func (f *flush) authority(ctx context.Context) error {
	if !f.plan.NewAuthority {
		return nil
	}
	if !f.model.Cluster.OK || !f.leads() {
		return errors.New(
			"only the known leader of a visible peer relation makes certificate authorities")
	}
	authority, err := f.newAuthority(f.model.App)
	if err != nil {
		return fmt.Errorf("cannot make certificate authorities: %w", err)
	}
	content := authority.Encode()
	if !f.model.Secrets {
		return f.set(ctx, etcdcluster.EncodeAuthority(content), f.model.Cluster.Value.RelationID, "--app")
	}
	const description = "etcd: certificate authorities; whoever has them can join the cluster and write to it"
	if err := addSecret(ctx, f.tools, operator.SecretWrite{
		Label: authorityLabel, App: true, Content: content,
	}, description); err != nil {
		return fmt.Errorf("cannot store the certificate authorities: %w", err)
	}
	return nil
}

// leads reports whether this unit is known to lead.
func (f *flush) leads() bool { return f.model.Leader.OK && f.model.Leader.Value }

// bags writes the bags that the plan names. It writes each bag whole, because in most hooks the old
// content is not read.
func (f *flush) bags(ctx context.Context) error {
	for _, w := range f.plan.Bags {
		var flags []string
		if w.App {
			if !f.leads() {
				return fmt.Errorf("relation %s: only the known leader writes the application's bag", w.Relation)
			}
			flags = []string{"--app"}
		}
		values := make(map[string]string, len(w.Owns))
		for _, key := range w.Owns {
			values[key] = w.Bag[key] // "" removes it
		}
		for key, label := range w.Secrets {
			uri, err := f.uri(ctx, label)
			if err != nil {
				return err
			}
			values[key] = uri
		}
		if err := f.set(ctx, values, w.Relation, flags...); err != nil {
			if w.App || ownBag(ctx, f.tools, w.Relation, f.model.Unit) != operator.BagNotFound {
				return err
			}
			// otherwise every hook would fail until the agent starts again
			f.plan.NotFound(f.model, w.Relation)
		}
	}
	return nil
}

// set writes settings into a relation, by stdin: every user on the machine can read an argument. An
// empty value removes its key. If there is nothing to write, set calls no tool.
func (f *flush) set(
	ctx context.Context, values map[string]string, relationID string, flags ...string,
) error {
	if len(values) == 0 {
		return nil
	}
	args := append([]string{"-r", relationID}, flags...)
	if _, err := f.tools.Run(ctx, settings(values), "relation-set", append(args, "--file", "-")...); err != nil {
		return fmt.Errorf("cannot write relation %s: %w", relationID, err)
	}
	return nil
}

// state stores what the plan wants remembered. state-delete takes one key a call, and ignores a key
// that does not exist.
func (f *flush) state(ctx context.Context) error {
	if f.plan.Memory == nil {
		return nil
	}
	known := encodeState(f.model.Memory.Value)
	changed := map[string]string{}
	var gone []string
	for key, value := range encodeState(*f.plan.Memory) {
		switch {
		case value == known[key] && key != stateSchema:
		case value == "":
			gone = append(gone, key)
		default:
			changed[key] = value
		}
	}
	if len(gone) == 0 && len(changed) == 1 { // only the schema is new
		return nil
	}
	if _, err := f.tools.Run(ctx, settings(changed), "state-set", "--file", "-"); err != nil {
		return fmt.Errorf("cannot remember what was published: %w", err)
	}
	for _, key := range slices.Sorted(slices.Values(gone)) {
		if _, err := f.tools.Run(ctx, nil, "state-delete", key); err != nil {
			return fmt.Errorf("cannot forget what was published: %w", err)
		}
	}
	return nil
}

// ports opens and closes ports until Juju's set equals the plan's. It asks Juju for the open ports
// instead of remembering them, because the plan names ports only when they change.
func (f *flush) ports(ctx context.Context) error {
	if f.plan.Ports == nil {
		return nil
	}
	var open []string
	if err := query(ctx, f.tools, &open, "opened-ports"); err != nil {
		return fmt.Errorf("cannot read open ports: %w", err)
	}
	want := make([]string, 0, len(f.plan.Ports))
	for _, port := range f.plan.Ports {
		want = append(want, strconv.Itoa(port)+"/tcp")
	}
	for _, port := range want {
		if !slices.Contains(open, port) {
			if _, err := f.tools.Run(ctx, nil, "open-port", port); err != nil {
				return fmt.Errorf("cannot open port %s: %w", port, err)
			}
		}
	}
	for _, port := range open {
		if !slices.Contains(want, port) {
			if _, err := f.tools.Run(ctx, nil, "close-port", port); err != nil {
				return fmt.Errorf("cannot close port %s: %w", port, err)
			}
		}
	}
	return nil
}

// oneLine makes a message fit for a status: one line of at most about a kilobyte, without terminal
// control characters.
func oneLine(text string) string {
	text = text[:min(len(text), 4*maxStderr)]
	text = strings.Map(printable, strings.Join(strings.Fields(strings.ToValidUTF8(text, "�")), " "))
	if len(text) > maxStderr {
		text = strings.ToValidUTF8(text[:maxStderr], "") + "…"
	}
	return text
}

// printable replaces characters that a terminal would obey instead of showing: a text may quote
// another machine.
func printable(r rune) rune {
	if r != ' ' && r != '\n' && r != '\t' && !unicode.IsPrint(r) {
		return '�'
	}
	return r
}
