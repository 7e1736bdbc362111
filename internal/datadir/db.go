package datadir

import (
	"encoding/binary"
	"errors"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/storage/schema"

	"github.com/juju-charms/etcd-charm/internal/regular"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// DB says how far a database is.
type DB struct {
	Revision int64  // the highest of its key space; 1 if it has no key
	Index    uint64 // of the last log entry that is in it
	Version  string // of its storage, as "3.7.0"; "" is before 3.6
}

// DBFile is the path of the database in a data directory.
func DBFile(data string) string { return filepath.Join(data, "member", "snap", "db") }

// ReadDB reads how far the database of a member or in a snapshot is, also beside a running server.
func ReadDB(path string) (DB, error) { return read(path, tree.look) }

// read reads something of a database.
func read[T any](path string, look func(tree) (T, error)) (T, error) {
	var none T
	f, err := regular.Open(path)
	if err != nil {
		return none, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if err := snapshot.Whole(f); err != nil {
		return none, err
	}
	// Pages of one state are overwritten when the second state after it is written. A server that
	// writes much may overtake each attempt.
	for range 5 {
		var before, after tree
		if before, err = newest(f); err != nil {
			return none, err
		}
		found, problem := look(before)
		if after, err = newest(f); err != nil {
			return none, err
		}
		if after.tx == before.tx {
			return found, problem
		}
	}
	return none, errors.New("it changes while it is read")
}

// look reads the fields of DB.
func (t tree) look() (DB, error) {
	meta, err := t.bucket(schema.Meta.Name())
	if err != nil {
		return DB{}, err
	}
	keys, err := t.bucket(schema.Key.Name())
	if err != nil {
		return DB{}, err
	}
	db := DB{Revision: 1}
	last, err := t.last(keys)
	if err != nil {
		return DB{}, err
	}
	// A revision is two numbers with a character between, and perhaps one after (mvcc,
	// BytesToBucketKey).
	if len(last) != 0 {
		if len(last) < 17 || last[8] != '_' {
			return DB{}, errDamaged
		}
		db.Revision = int64(binary.BigEndian.Uint64(last)) //nolint:gosec // it was made of one
	}
	index, err := t.get(meta, schema.MetaConsistentIndexKeyName)
	if err != nil {
		return DB{}, err
	}
	if len(index) == 8 {
		db.Index = binary.BigEndian.Uint64(index)
	}
	version, err := t.get(meta, schema.MetaStorageVersionName)
	db.Version = string(version)
	return db, err
}
