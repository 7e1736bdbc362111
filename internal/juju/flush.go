package juju

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// NewAuthority makes the certificate authorities of an application.
type NewAuthority func(app string) (*pki.Authority, error)

// Flush publishes what the plan wants, in as few calls as possible: with nothing changed, one status-set. What it writes
// Juju commits together when the hook exits 0; an error must make the hook fail, so that Juju drops it all and calls the
// hook again. The status is set last, and also before an error is returned that the plan itself asks for (Plan.Fail):
// then nothing else is published.
func Flush(ctx context.Context, tools Tools, m operator.Model, p operator.Plan, newAuthority NewAuthority) error {
	if p.Fail != nil {
		return errors.Join(p.Fail, SetStatus(ctx, tools, p.Status))
	}
	f := flush{tools: tools, model: m, plan: p, newAuthority: newAuthority}
	for _, publish := range []func(context.Context) error{f.version, f.application, f.word, f.consumers, f.state, f.ports} {
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

// application writes the peer application bag, and the certificate authorities before it: the record names them.
func (f *flush) application(ctx context.Context) error {
	if f.plan.Record == nil && !f.plan.Authority {
		return nil
	}
	if !f.model.Cluster.OK || !f.model.Leader.OK || !f.model.Leader.Value {
		return errors.New("only the known leader of a visible peer relation writes the record")
	}
	cluster := f.model.Cluster.Value
	record := cluster.Record
	if f.plan.Record != nil {
		record = *f.plan.Record
	}
	var keys databag.Bag
	if f.plan.Authority {
		authority, err := f.newAuthority(f.model.App)
		if err != nil {
			return fmt.Errorf("cannot make certificate authorities: %w", err)
		}
		record.Authority = authority.Fingerprint()
		if f.model.Secrets {
			err = addAuthority(ctx, f.tools, authority.Encode())
		} else {
			keys = etcdcluster.EncodeAuthority(authority.Encode())
		}
		if err != nil {
			return err
		}
	}
	bag := etcdcluster.EncodeApp(record)
	maps.Copy(bag, keys)
	old := etcdcluster.EncodeApp(cluster.Record)
	if cluster.Record.Schema == 0 {
		delete(old, etcdcluster.KeySchema) // nothing was ever written
	}
	change := databag.Diff(old, bag)
	return f.set(ctx, change.Settings(), cluster.RelationID, "--app")
}

// word writes our own peer bag whole: it is not read in most hooks.
func (f *flush) word(ctx context.Context) error {
	if f.plan.Word == nil {
		return nil
	}
	if !f.model.Cluster.OK {
		return errors.New("the peer relation is not visible")
	}
	values := make(map[string]string, len(etcdcluster.UnitKeys()))
	for _, key := range etcdcluster.UnitKeys() {
		values[key] = "" // removes it
	}
	maps.Copy(values, etcdcluster.EncodeUnit(*f.plan.Word))
	return f.set(ctx, values, f.model.Cluster.Value.RelationID)
}

// consumers writes the bags of those consumer relations that the plan names, each with its own derived credentials.
func (f *flush) consumers(ctx context.Context) error {
	if len(f.plan.Consumers) == 0 {
		return nil
	}
	if !f.model.Authority.OK || f.model.Authority.Value == nil {
		return errors.New("there is no certificate authority to sign for consumers")
	}
	for _, pub := range f.plan.Consumers {
		bag, err := f.publication(pub)
		if err != nil {
			return fmt.Errorf("relation %s: %w", pub.RelationID, err)
		}
		if err := f.set(ctx, bag, pub.RelationID); err != nil {
			return err
		}
	}
	return nil
}

func (f *flush) publication(pub operator.Publication) (databag.Bag, error) {
	members, err := etcdproxy.ParseCluster(pub.Cluster)
	if err != nil {
		return nil, err
	}
	data := etcdproxy.Data{Members: members, ClientURLs: pub.ClientURLs, Version: pub.Version}
	if pub.Withheld {
		bag, err := etcdproxy.Encode(data)
		if err != nil {
			return nil, err
		}
		for _, key := range []string{etcdproxy.KeyClientCert, etcdproxy.KeyClientKey, etcdproxy.KeyClientCA} {
			bag[key] = "" // removes it
		}
		return bag, nil
	}
	data.Credentials, err = f.model.Authority.Value.Credentials(f.model.UUID, pub.RelationID, pub.Generation, pub.Period)
	if err != nil {
		return nil, fmt.Errorf("cannot derive client credentials: %w", err)
	}
	return etcdproxy.Encode(data)
}

// set writes settings into a relation, by stdin: an argument can be read by everybody on the machine. An empty value
// removes its key; nothing to write is no call.
func (f *flush) set(ctx context.Context, values map[string]string, relationID string, flags ...string) error {
	if len(values) == 0 {
		return nil
	}
	args := append([]string{"-r", relationID}, flags...)
	if _, err := f.tools.Run(ctx, settings(values), "relation-set", append(args, "--file", "-")...); err != nil {
		return fmt.Errorf("cannot write relation %s: %w", relationID, err)
	}
	return nil
}

// state remembers the digests of what was written, and forgets those that speak of nothing any more. state-delete takes
// one key at a time, and minds none that is not there.
func (f *flush) state(ctx context.Context) error {
	published := maps.Clone(f.model.Published)
	if published == nil {
		published = map[string]string{}
	}
	maps.Copy(published, f.plan.Published)
	for _, key := range f.plan.Forget {
		delete(published, key)
	}
	if maps.Equal(published, f.model.Published) {
		return nil
	}
	changed, known := encodeState(published), encodeState(f.model.Published)
	maps.DeleteFunc(changed, func(key, value string) bool { return known[key] == value })
	if len(changed) > 0 {
		if _, err := f.tools.Run(ctx, settings(changed), "state-set", "--file", "-"); err != nil {
			return fmt.Errorf("cannot remember what was published: %w", err)
		}
	}
	for _, key := range slices.Sorted(slices.Values(f.plan.Forget)) {
		if _, err := f.tools.Run(ctx, nil, "state-delete", key); err != nil {
			return fmt.Errorf("cannot forget what was published: %w", err)
		}
	}
	return nil
}

// ports opens and closes what differs from what Juju has open. It is asked, not remembered: the plan names ports only
// when they change.
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

// oneLine makes a message fit for a status: one line, at most about a kilobyte, nothing that a terminal would obey.
func oneLine(text string) string {
	text = text[:min(len(text), 4*maxStderr)]
	text = strings.Map(printable, strings.Join(strings.Fields(strings.ToValidUTF8(text, "�")), " "))
	if len(text) > maxStderr {
		text = strings.ToValidUTF8(text[:maxStderr], "") + "…"
	}
	return text
}

// printable replaces what a terminal would obey rather than show: a text may quote what another machine has said.
func printable(r rune) rune {
	if r != ' ' && r != '\n' && r != '\t' && !unicode.IsPrint(r) {
		return '�'
	}
	return r
}
