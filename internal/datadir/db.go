package datadir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"github.com/juju-charms/etcd-charm/internal/regular"
	"github.com/juju-charms/etcd-charm/internal/snapshot"
)

// ErrLocked says that a server has the database.
var ErrLocked = errors.New("a server has the database")

// DB is how far a database is.
type DB struct {
	Revision int64  // the highest of its key space; 1 if it has no key
	Index    uint64 // of the last entry of the log that is in it
	Version  string // of its storage, as "3.7.0"; "" is before 3.6
}

// DBFile is where a data directory has its database.
func DBFile(data string) string { return filepath.Join(data, "member", "snap", "db") }

// ReadDB reads how far a database is, of a member or in a snapshot. It waits for no server.
func ReadDB(path string) (db DB, err error) {
	if err := whole(path); err != nil {
		return DB{}, err
	}
	// A page that points nowhere, or a disk that does not give it, would end the process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it is damaged: %v", r)
		}
	}()
	b, err := bolt.Open(path, 0o400, &bolt.Options{
		ReadOnly: true, Timeout: 50 * time.Millisecond, OpenFile: regular.OpenFile,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return DB{}, ErrLocked
	}
	if err != nil {
		return DB{}, err
	}
	defer func() { _ = b.Close() }() // it was only read
	err = b.View(func(tx *bolt.Tx) error {
		keys, meta := tx.Bucket(schema.Key.Name()), tx.Bucket(schema.Meta.Name())
		if keys == nil || meta == nil {
			return errors.New("it is no etcd database")
		}
		db.Revision = 1
		if last, _ := keys.Cursor().Last(); last != nil {
			db.Revision = mvcc.BytesToRev(last).Main
		}
		if index := meta.Get(schema.MetaConsistentIndexKeyName); len(index) == 8 {
			db.Index = binary.BigEndian.Uint64(index)
		}
		if v := schema.ReadStorageVersionFromSnapshot(tx); v != nil {
			db.Version = v.String()
		}
		return nil
	})
	return db, err
}

// whole refuses a file that is no database, or is cut off.
func whole(path string) error {
	f, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	return snapshot.Whole(f)
}
