package operator

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/juju/charm/v12/hooks"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// A secret is written when its content or its reader changes, and never printed.
func TestSecretIsWrittenOnce(t *testing.T) {
	t.Parallel()
	m := model(1)
	secret := SecretWrite{Label: "a", Content: map[string]string{"k": "hush"}, Relation: "toy:1"}
	var p Plan
	p.publishSecret(newView(lookAgain, m, world(m)), secret)
	require.Equal(t, []SecretWrite{secret}, p.Secrets)
	m.Memory = Know(after(m, p))
	for change, want := range map[string]SecretWrite{
		"nothing":    secret,
		"its reader": {Label: "a", Content: map[string]string{"k": "hush"}, Relation: "toy:2"},
		"its value":  {Label: "a", Content: map[string]string{"k": "other"}, Relation: "toy:1"},
	} {
		p = Plan{}
		p.publishSecret(newView(lookAgain, m, world(m)), want)
		assert.Len(t, p.Secrets, map[bool]int{true: 0, false: 1}[change == "nothing"], change)
	}
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", p, secret, []SecretWrite{secret}), "hush")
}

// Our application's bag is compared with what is in it: another leader may have written it since.
func TestApplicationBagIsRead(t *testing.T) {
	t.Parallel()
	m := model(1)
	w := BagWrite{Relation: "toy:1", App: true, Owns: []string{"leader"}, Secrets: map[string]string{"password": "a"}}
	bag := databag.Bag{"leader": "etcd/0"}
	for name, tc := range map[string]struct {
		stands databag.Bag
		writes bool
	}{
		"nothing":          {nil, true},
		"another's":        {databag.Bag{"leader": "etcd/1", "password": "secret:x"}, true},
		"without a secret": {databag.Bag{"leader": "etcd/0"}, true},
		"ours":             {databag.Bag{"leader": "etcd/0", "password": "secret:x", "other": "y"}, false},
	} {
		m.Relations = map[string]Known[[]databag.Relation]{"toy": Know([]databag.Relation{{ID: "toy:1", LocalApp: tc.stands}})}
		var p Plan
		p.publish(newView(lookAgain, m, world(m)), w, bagDigest(bag), func() (databag.Bag, error) { return bag, nil })
		assert.Equal(t, tc.writes, len(p.Bags) == 1, name)
		assert.Nil(t, p.Memory, "nothing is remembered")
	}
}

// TestLeaderAloneWritesForTheApplication: Juju refuses a write by another unit, which fails the
// hook. A unit that leads again does not rely on what it wrote before another led.
func TestLeaderAloneWritesForTheApplication(t *testing.T) {
	t.Parallel()
	m := model(1)
	secret := SecretWrite{Label: "a", App: true, Content: map[string]string{"k": "hush"}, Relation: "toy:1"}
	publish := func(e Event) Plan {
		var p Plan
		v := newView(e, m, world(m))
		p.publishSecret(v, secret)
		p.publish(v, BagWrite{Relation: "toy:1", App: true, Owns: []string{"k"}}, "sum", func() (databag.Bag, error) { return databag.Bag{"k": "v"}, nil })
		m.Memory = Know(after(m, p))
		return p
	}
	writes := func(p Plan) []int { return []int{len(p.Secrets), len(p.Bags)} }
	assert.Equal(t, []int{1, 1}, writes(publish(lookAgain)))
	assert.Equal(t, []int{0, 1}, writes(publish(lookAgain)), "the bag is read, and says nothing yet")
	m.Leader = Unknown[bool]("is-leader failed")
	assert.Equal(t, []int{0, 0}, writes(publish(lookAgain)))
	m.Leader = Know(true)
	assert.Equal(t, []int{0, 1}, writes(publish(lookAgain)), "it may have led all the time")
	m.Leader = Know(false)
	assert.Equal(t, []int{0, 0}, writes(publish(lookAgain)))
	m.Leader = Know(true)
	assert.Equal(t, []int{1, 1}, writes(publish(lookAgain)), "another may have written it since")
}

// TestSecretOfARelationThatComesBack: its reader must be granted it again.
func TestSecretOfARelationThatComesBack(t *testing.T) {
	t.Parallel()
	m := model(1)
	secret := SecretWrite{Label: "a", Content: map[string]string{"k": "hush"}, Relation: "toy:1"}
	for range 2 {
		var p Plan
		p.publishSecret(newView(Event{Kind: hooks.RelationCreated, RelationID: "toy:1"}, m, world(m)), secret)
		assert.Len(t, p.Secrets, 1)
		m.Memory = Know(after(m, p))
	}
}

// What is remembered of a write is forgotten in the hook in which the relation is gone, but not if
// Juju cannot say whether it is.
func TestWritesToWhatIsGoneAreForgotten(t *testing.T) {
	t.Parallel()
	m := model(1)
	m.Memory.Value.Bags["toy:1"], m.Memory.Value.Bags["toy:2"] = "x", "y"
	m.Relations["toy"] = Know([]databag.Relation{{ID: "toy:2"}})
	m.Memory.Value.Secrets = map[string]string{"toy:1/a": "x", "toy:2/a": "y", "/own": "z"}
	var p Plan
	newView(lookAgain, m, world(m)).forget(&p, Endpoint{Name: "toy", Read: Units})
	assert.Equal(t, map[string]string{"toy:2": "y"}, after(m, p).Bags)
	assert.Equal(t, map[string]string{"toy:2/a": "y", "/own": "z"}, after(m, p).Secrets)

	m.Relations["toy"] = Unknown[[]databag.Relation]("relation-ids failed")
	p = Plan{}
	newView(lookAgain, m, world(m)).forget(&p, Endpoint{Name: "toy", Read: Units})
	assert.Nil(t, p.Memory)
}

// Everything that is remembered of a relation is forgotten in the hook in which Juju no longer
// lists the relation. One thing stays: the end of a consumer's credentials until it is on record.
// It is not about a bag. The rest of the memory is about no relation.
func TestMemoryGoesWithItsRelation(t *testing.T) {
	t.Parallel()
	of := map[string]func(id string) Memory{
		"Bags": func(id string) Memory { return Memory{Bags: map[string]string{id: "sum"}} },
		"Deserted": func(id string) Memory {
			return Memory{Bags: map[string]string{}, Deserted: map[string]Desertion{id: missing}}
		},
		"Secrets": func(id string) Memory {
			return Memory{Bags: map[string]string{}, Secrets: map[string]string{id + "/label": "sum"}}
		},
	}
	ofNone := []string{"Ports", "Learner", "Unrecorded", "Foreign", "AbandonedTurn", "Seen", "Healed", "Cleared", "Learning", "Revisions", "Sampled", "Freed"}
	for kind := range reflect.TypeFor[Memory]().Fields() {
		_, known := of[kind.Name]
		assert.True(t, known || slices.Contains(ofNone, kind.Name), "of what is %s?", kind.Name)
	}
	for kind, remembers := range of {
		for _, at := range Endpoints() {
			if at.Read == Peers {
				continue // it goes with the unit
			}
			if kind == "Deserted" && at.Encode == nil || kind == "Secrets" && at.Encode != nil {
				continue // nothing of that kind is ever written there
			}
			for _, leads := range []bool{true, false} {
				m := model(3)
				w := world(m)
				if at.For == RoleProxy {
					m, w = healthyProxy(1)
					w.Service = Service{Kind: ProxyService} // it has stopped
				}
				id := at.Name + ":7"
				m.Leader = Know(leads)
				m.Relations = maps.Clone(m.Relations)
				m.Relations[at.Name] = Know([]databag.Relation{})
				m.Memory = Know(remembers(id))
				if kind == "Bags" {
					w.TLS.Revoked = RevokedDigest([]Ended{{RelationID: id, Generation: 1, Period: w.Period}})
				}
				p := Decide(Event{Kind: hooks.RelationBroken, Endpoint: at.Name, RelationID: id, RemoteApp: "app"}, m, w)
				require.Nil(t, p.Step, "%s of %s", kind, id)
				got := after(m, p)
				assert.Empty(t, got.Deserted, "%s of %s", kind, id)
				assert.Empty(t, got.Secrets, "%s of %s", kind, id)
				if at.Encode != nil && kind == "Bags" && !leads {
					assert.Equal(t, goneDigest, got.Bags[id], "until the leader has put the end on record")
				} else {
					assert.Empty(t, got.Bags[id], "%s of %s", kind, id)
				}
			}
		}
	}
}
