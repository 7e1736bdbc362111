package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// State is what a member has on disk.
type State struct {
	Log Log
	DB  DB // the zero value: it could not be read, perhaps because a running server wrote too much
}

// Read reads what a member has on disk. It fails if neither log nor database can be read.
func Read(data string) (State, error) {
	log, noLog := ReadLog(data)
	db, noDB := ReadDB(DBFile(data))
	if noLog != nil && noDB != nil {
		return State{}, errors.Join(fmt.Errorf("log: %w", noLog), fmt.Errorf("database: %w", noDB))
	}
	if noLog != nil {
		log.Damage = noLog.Error()
	}
	if log.Damage == "" && db.Index > log.Index {
		log.Damage = fmt.Sprintf("its database has entry %d, but it ends with %d", db.Index, log.Index)
	}
	return State{log, db}, nil
}

// ByLog reports whether the log has everything that the database has, and can be used for its
// member. The log of a member that was removed cannot.
func (s State) ByLog() bool {
	damaged := s.Log.Damage != "" && s.DB.Index >= s.Log.Index
	return !damaged && s.Log.Standing != Removed && s.Log.Index != 0
}

// Cut ends a copy of the log, in another data directory, where l ends.
func (l Log) Cut(data string) error {
	segments, err := Segments(data)
	if err != nil {
		return err
	}
	name := func(path string) bool { return filepath.Base(path) == filepath.Base(l.segment) }
	at := slices.IndexFunc(segments, name)
	if at < 0 {
		return fmt.Errorf("%s does not exist", filepath.Base(l.segment))
	}
	if err := os.Truncate(segments[at], l.offset); err != nil {
		return err
	}
	for _, path := range segments[at+1:] {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}
