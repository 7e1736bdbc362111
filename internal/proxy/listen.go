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
)

// socketMode lets the socket's owner and group connect, and nobody else: connect(2) asks for the right to write.
const socketMode = 0o660

// listenAll opens every address of c and its socket, or none; of those in Also it opens what it can.
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

// listenSocket opens the socket for the members of its group. What a process that was killed has left there goes.
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
	if err := errors.Join(os.Chown(s.Path, -1, id), os.Chmod(s.Path, socketMode)); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}
