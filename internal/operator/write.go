package operator

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
)

// BagWrite is one bag of ours as it should be.
type BagWrite struct {
	Relation string // its ID, "proxy:3"
	App      bool   // our application's bag, which only the leader writes; else our unit's
	// All keys that are ours to write: those not in Bag are removed; other keys stay.
	Owns []string
	Bag  databag.Bag
	// Secrets are keys whose value is the URI of a secret of ours; each has the label of its
	// secret.
	Secrets map[string]string
}

// SecretWrite is one secret of ours as it should be. It may hold private keys and prints as
// [redacted].
type SecretWrite struct {
	Label    string            // identifies the secret: the same label is the same secret
	App      bool              // our application's, which only the leader writes; else our unit's
	Content  map[string]string // whole
	Relation string            // the ID of the relation whose other side may read it; "" is nobody
}

// publish writes a bag, unless the same was written there last; sum is the digest of what goes into
// it. It remembers what it writes. The bag is made only if it is to be written; if it cannot be
// made, the status says why. Only the leader writes an application's bag.
func (p *Plan) publish(v view, w BagWrite, sum string, bag func() (databag.Bag, error)) {
	if (w.App && !v.leader()) || v.written(w) == sum {
		return
	}
	var err error
	if w.Bag, err = bag(); err != nil {
		p.say(because(consumerBagFails, w.Relation, err.Error()))
		return
	}
	p.Bags = append(p.Bags, w)
	if !w.App {
		p.memory(v).Bags[w.Relation] = sum
	}
}

// written is the digest of what went into a bag of ours; "" is not known, or nothing. For our
// unit's bag it is remembered. Our application's bag is read, because another unit may have written
// it last; its digest is that of the bag itself.
func (v view) written(w BagWrite) string {
	if !w.App {
		if v.entered(w.Relation) {
			return ""
		}
		return v.m.Memory.Value.Bags[w.Relation]
	}
	bag := databag.Bag{}
	for _, relations := range v.m.Relations {
		for _, r := range relations.Value {
			if r.ID != w.Relation {
				continue
			}
			for _, key := range w.Owns {
				bag[key] = r.LocalApp[key]
			}
			for key := range w.Secrets {
				if r.LocalApp[key] == "" {
					return ""
				}
			}
		}
	}
	return bagDigest(bag)
}

// entered reports whether our unit enters the relation in this hook. Its bag is empty then,
// whatever it wrote to an earlier relation of the same ID.
func (v view) entered(id string) bool {
	return v.Kind == hooks.RelationCreated && v.RelationID == id
}

// forget drops what is remembered of an endpoint's relations that are gone. The end of a consumer's
// relation has to be put on record first: see publishToConsumers.
func (v view) forget(p *Plan, at Endpoint) {
	relations := v.m.Relations[at.Name]
	if at.Read == Peers || !relations.OK {
		return
	}
	gone := func(id string) bool {
		listed := func(r databag.Relation) bool { return r.ID == id }
		return strings.HasPrefix(id, at.Name+":") && !slices.ContainsFunc(relations.Value, listed)
	}
	for id := range v.m.Memory.Value.Bags {
		if gone(id) {
			delete(p.memory(v).Bags, id)
		}
	}
	for key := range v.m.Memory.Value.Secrets {
		if id, _, _ := strings.Cut(key, "/"); gone(id) {
			delete(p.memory(v).Secrets, key)
		}
	}
}

// writeRecord is the write of the peer application bag for r.
func (v view) writeRecord(r AppBag) BagWrite {
	return BagWrite{
		Relation: v.m.Cluster.Value.RelationID, App: true,
		Owns: etcdcluster.AppKeys(), Bag: etcdcluster.EncodeApp(r),
	}
}

// publishSecret writes a secret, unless it is what this unit wrote last. In the hook in which a
// relation comes back it is written again, because the other side must be granted it again. Only
// the leader writes an application's secret, and does not rely on what it wrote before another unit
// led.
func (p *Plan) publishSecret(v view, s SecretWrite) {
	label := s.Relation + "/" + s.Label
	was := v.m.Memory.Value.Secrets[label]
	if s.App && !v.leader() {
		if v.m.Leader.OK && was != "" {
			delete(p.memory(v).Secrets, label)
		}
		return
	}
	parts := []string{s.Relation}
	for _, key := range slices.Sorted(maps.Keys(s.Content)) {
		parts = append(parts, key, s.Content[key])
	}
	if sum := digest(parts...); was != sum || (s.Relation != "" && v.entered(s.Relation)) {
		p.Secrets = append(p.Secrets, s)
		p.memory(v).Secrets[label] = sum
	}
}

// Format prints [redacted] under every verb and flag.
func (SecretWrite) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue is [redacted].
func (SecretWrite) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns [redacted], for JSON and other encoders.
func (SecretWrite) MarshalText() ([]byte, error) { return []byte(redacted), nil }
