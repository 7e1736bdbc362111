package sim

import (
	"context"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"
)

// controlRequest is a verb sent to a running simulation.
type controlRequest struct {
	Args     []string
	Dir      string
	Terminal bool
}

// controlFrame is a piece of the answer; the last has Done set.
type controlFrame struct {
	Out, Err []byte
	Done     bool
	Failure  string
}

// controlAddress returns the abstract socket of the simulation in a directory.
func controlAddress(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if resolved, err := filepath.EvalSymlinks(abs); err == nil {
		abs = resolved
	}
	return fmt.Sprintf("@juju-sim-%x", sha256.Sum256([]byte(abs)))[:40], nil
}

// isUp reports whether a simulation is served in a directory.
func isUp(dir string) bool {
	address, err := controlAddress(dir)
	if err != nil {
		return false
	}
	conn, err := net.Dial("unix", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// Serve lets other processes run verbs on the simulation. It also runs hooks: after each verb, and
// update-status at every interval. It returns when ctx ends.
func (s *Sim) Serve(ctx context.Context, updateStatus time.Duration) error {
	address, err := controlAddress(s.dir)
	if err != nil {
		return err
	}
	l, err := net.Listen("unix", address)
	if err != nil {
		return fmt.Errorf("cannot serve %s: %w", s.dir, err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		<-ctx.Done()
		l.Close()
	})
	wg.Go(func() { s.keepSettling(ctx, updateStatus) })
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil // closed because ctx ended
		}
		if !allowed(conn) {
			conn.Close()
			continue
		}
		wg.Go(func() { s.serveVerb(ctx, conn) })
	}
}

func (s *Sim) keepSettling(ctx context.Context, updateStatus time.Duration) {
	tick := time.NewTicker(updateStatus)
	defer tick.Stop()
	for {
		// status shows units in error; they are retried at the next tick.
		_ = s.Settle(ctx)
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-tick.C:
			_ = s.updateStatus(s.Model.Units(""))
			s.retry()
		}
	}
}

// retry retries the failed hooks of the units in error.
func (s *Sim) retry() {
	for _, name := range s.Model.Units("") {
		_ = s.Model.Resolved(name, false)
	}
}

// frameWriter sends what is written to it as frames.
type frameWriter struct {
	mu  *sync.Mutex
	enc *gob.Encoder
	err bool
}

func (w frameWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := controlFrame{Out: p}
	if w.err {
		f = controlFrame{Err: p}
	}
	return len(p), w.enc.Encode(f)
}

func (s *Sim) serveVerb(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var req controlRequest
	if err := gob.NewDecoder(conn).Decode(&req); err != nil {
		return
	}
	// The caller sends nothing more, so the end of the stream means that the caller is gone.
	go func() {
		_, _ = io.Copy(io.Discard, conn)
		cancel()
	}()
	var mu sync.Mutex
	enc := gob.NewEncoder(conn)
	err := s.Do(ctx, Env{
		Out: frameWriter{&mu, enc, false}, Err: frameWriter{&mu, enc, true},
		Dir: req.Dir, Terminal: req.Terminal,
	}, req.Args...)
	done := controlFrame{Done: true}
	if err != nil {
		done.Failure = err.Error()
	}
	mu.Lock()
	defer mu.Unlock()
	_ = enc.Encode(done)
}

// Remote runs a verb on the simulation that another process serves in dir.
func Remote(ctx context.Context, dir string, e Env, args ...string) error {
	address, err := controlAddress(dir)
	if err != nil {
		return err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", address)
	if err != nil {
		return fmt.Errorf(
			"no simulation is up in %s: start one with \"juju-sim up\", or name another with -d (%w)",
			dir, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if !allowed(conn) {
		return errors.New("the simulation is another user's")
	}
	if err := gob.NewEncoder(conn).Encode(controlRequest{
		Args: args, Dir: e.Dir, Terminal: e.Terminal,
	}); err != nil {
		return err
	}
	dec := gob.NewDecoder(conn)
	for {
		var f controlFrame
		if err := dec.Decode(&f); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("the simulation went away: %w", err)
		}
		if _, err := e.Out.Write(f.Out); err != nil {
			return err
		}
		if _, err := e.Err.Write(f.Err); err != nil {
			return err
		}
		switch {
		case f.Failure != "":
			return errors.New(f.Failure)
		case f.Done:
			return nil
		}
	}
}
