package operator

import (
	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/toy"
)

// toys writes all that a requirer can write: its unit's bag, and as leader its application's bag
// and a secret.
func toys(v view, p *Plan) {
	for _, r := range v.m.Relations["toy"].Value {
		unit := toy.EncodeUnit(v.m.Unit + r.RemoteApp[toy.KeyGreeting])
		p.publish(v, BagWrite{Relation: r.ID, Owns: []string{toy.KeyName}}, bagDigest(unit),
			func() (databag.Bag, error) { return unit, nil })
		if !v.m.Secrets {
			continue
		}
		label := "toy." + r.ID
		p.publishSecret(v, SecretWrite{
			Label: label, App: true,
			Content: map[string]string{toy.KeyPassword: "of-" + v.m.App}, Relation: r.ID,
		})
		app := toy.EncodeApp(v.m.Unit)
		p.publish(v, BagWrite{
			Relation: r.ID, App: true, Owns: []string{toy.KeyLeader},
			Secrets: map[string]string{toy.KeyPassword: label},
		}, bagDigest(app), func() (databag.Bag, error) { return app, nil })
	}
}
