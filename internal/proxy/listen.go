package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// socketMode lets the socket's owner and group connect, and nobody else: connect(2) needs the right
// to write.
const socketMode = 0o660

// listenAll opens every address of c and its socket, or none. Addresses in Also that cannot be
// opened are left out.
func listenAll(ctx context.Context, c Config, log *slog.Logger) ([]net.Listener, error) {
	ls, err := listen(ctx, c.Listen, log)
	if err != nil {
		return nil, err
	}
	if c.Socket != (Socket{}) {
		l, err := listenSocket(ctx, c.Socket)
		if err != nil {
			for _, l := range ls {
				_ = l.Close()
			}
			return nil, fmt.Errorf("cannot listen for clients: %w", err)
		}
		ls = append(ls, l)
		log.Info("listening", "socket", c.Socket.Path, "group", c.Socket.Group)
	}
	for _, a := range c.Also {
		l, err := listen(ctx, []string{a}, log)
		if err != nil {
			log.Warn("an address is left out", "address", a, "error", err)
			continue
		}
		ls = append(ls, l...)
	}
	return ls, nil
}

// socketListener is the listener of a socket for the members of a group.
type socketListener struct {
	net.Listener
	path  string
	group int
}

// listenSocket opens the socket for the members of its group. It removes a socket that a killed
// process has left there.
func listenSocket(ctx context.Context, s Socket) (net.Listener, error) {
	group, err := user.LookupGroup(s.Group)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	id, err := strconv.Atoi(group.Gid)
	if err != nil {
		return nil, fmt.Errorf("socket: group %s has no number: %w", s.Group, err)
	}
	if info, err := os.Lstat(s.Path); err == nil && info.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(s.Path); err != nil {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", s.Path)
	if err != nil {
		return nil, err
	}
	own := &socketListener{l, s.Path, id}
	if err := own.give(); err != nil {
		_ = l.Close()
		return nil, err
	}
	return own, nil
}

// give gives the socket to its group and to nobody else.
func (l *socketListener) give() error {
	return errors.Join(os.Chown(l.path, -1, l.group), os.Chmod(l.path, socketMode))
}

// keep restores the socket's mode and group when somebody has changed them, until ctx ends. A
// socket that is gone cannot be restored; a read through it will fail and show that.
func (l *socketListener) keep(ctx context.Context, log *slog.Logger) {
	for ; ctx.Err() == nil; pause(ctx, followInterval, nil) {
		info, err := os.Lstat(l.path)
		if err != nil || info.Mode().Type() != fs.ModeSocket {
			continue
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if info.Mode().Perm() == socketMode && ok && int(stat.Gid) == l.group {
			continue
		}
		if err := l.give(); err != nil {
			log.Error("cannot repair the socket", "socket", l.path, "error", err)
			continue
		}
		log.Warn("mode or group of the socket was changed by someone: repaired", "socket", l.path)
	}
}
