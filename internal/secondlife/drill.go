package secondlife

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/renameio/v2"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// Drilled is what the file says about the last drill that succeeded.
type Drilled struct {
	At       int64  `json:"at"` // Unix seconds
	Snapshot string `json:"snapshot"`
	Revision int64  `json:"revision"`
	Keys     int64  `json:"keys"`
}

// Drill restores a snapshot, the newest if none is named, reads all of it back, and throws it away.
func (u Unit) Drill(ctx context.Context, r operator.WorkRequest, say Progress) (string, error) {
	r.Snapshot = cmp.Or(r.Snapshot, "latest")
	m, err := u.begin("drill-"+r.ID, say)
	if err != nil {
		return "", inWords("drill", err)
	}
	m.noFsync, m.Owner = true, nil
	var s source
	var made restoration
	err = func() error {
		if s, err = u.find(ctx, r); err != nil {
			return err
		}
		// Room for two copies: the restored one, and as much again.
		if err := m.room(2*s.size + logRoom); err != nil {
			return err
		}
		read := func(ctx context.Context, server *server) error { return m.readAll(ctx, server, s.size) }
		if made, err = m.restored(ctx, s,
			identity{"drill", "http://localhost:2380", "drill-" + r.ID}, r.Seen, read); err != nil {
			return fmt.Errorf("%s: %w", s.words, err)
		}
		return nil
	}()
	if err := errors.Join(err, m.end()); err != nil {
		return "", inWords("drill", err)
	}
	text, err := json.Marshal(Drilled{u.Now().Unix(), s.words, made.was, made.keys})
	if err == nil {
		err = renameio.WriteFile(u.Drilled, append(text, '\n'), 0o600)
	}
	return fmt.Sprintf("%s can be restored: %d keys, revision %d", s.words, made.keys, made.was),
		inWords("note the drill", err)
}

// pageBytes is about how much is read at once.
const pageBytes = 8 * mib

// readAll reads every key with its value, as clients would. For each page etcd counts all keys that
// follow, so a few large pages cost less than many small ones.
func (m making) readAll(ctx context.Context, s *server, size int64) error {
	from, total, limit := "\x00", int64(0), int64(16)
	for read := int64(0); ; {
		got, err := s.Get(ctx, from,
			clientv3.WithFromKey(), clientv3.WithLimit(limit), clientv3.WithSerializable())
		if err != nil {
			return err
		}
		if total == 0 {
			total = got.Count
			limit = min(max(16, pageBytes*total/max(1, size)), 10_000)
		}
		read += int64(len(got.Kvs))
		m.say("read keys", read, total)
		if !got.More {
			return nil
		}
		from = string(got.Kvs[len(got.Kvs)-1].Key) + "\x00"
	}
}
