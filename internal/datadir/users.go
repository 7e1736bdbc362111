package datadir

import (
	"bytes"

	"go.etcd.io/etcd/server/v3/storage/schema"

	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// ReadUsers reads who may log in to the database of a stopped member or in a snapshot. It reads no
// password.
func ReadUsers(path string) (snapshot.Users, error) { return read(path, tree.users) }

func (t tree) users() (snapshot.Users, error) {
	var out snapshot.Users
	auth, err := t.bucket(schema.Auth.Name())
	if err != nil {
		return out, err
	}
	enabled, err := t.get(auth, schema.AuthEnabledKeyName)
	if err != nil {
		return out, err
	}
	// as etcd reads it (storage/schema, UnsafeReadAuthEnabled)
	out.Auth = bytes.Equal(enabled, []byte{1})
	names, err := t.bucket(schema.AuthUsers.Name())
	if err != nil {
		return out, err
	}
	return out, t.walk(names, mostLevels, out.Add)
}

// walk passes each key below a node to hear, in order. It fails if pages lead in a circle, because
// no database has more leaves than pages.
func (t tree) walk(n node, levels int, hear func(key []byte)) error {
	pages := t.high
	var down func(n node, levels int) error
	down = func(n node, levels int) error {
		if levels == 0 || pages == 0 {
			return errDamaged
		}
		pages--
		for i := range n.count() {
			key, _, child, bucket, err := n.element(i)
			switch {
			case err != nil:
				return err
			case bucket:
				return errDamaged
			case n.leaf():
				hear(key)
				continue
			}
			below, err := t.read(child)
			if err == nil {
				err = down(below, levels-1)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return down(n, levels)
}
