package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// owner is the user and group that a file belongs to. The zero value leaves the file to the user
// that writes it.
type owner struct {
	set      bool
	uid, gid int
}

func (o owner) owns(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !o.set || (ok && int(stat.Uid) == o.uid && int(stat.Gid) == o.gid)
}

// rooted reports whether we may make users on this machine: not under a root prefix, and not as an
// ordinary user.
func (h *Host) rooted() bool { return h.user != "" }

// serverOwner returns the user that runs the server: the system user, or ourselves where we make
// none.
func (h *Host) serverOwner() (owner, error) {
	if !h.rooted() {
		return owner{}, nil
	}
	u, err := user.Lookup(h.user)
	if err != nil {
		return owner{}, fmt.Errorf("cannot find system user: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return owner{}, fmt.Errorf("cannot read uid of %s: %w", h.user, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return owner{}, fmt.Errorf("cannot read gid of %s: %w", h.user, err)
	}
	return owner{set: true, uid: uid, gid: gid}, nil
}

// adminOwner is root, where we may choose owners.
func (h *Host) adminOwner() owner { return owner{set: h.rooted()} }

// sharedOwner is root with the server's group, so that the server can read.
func sharedOwner(server owner) owner { return owner{set: server.set, gid: server.gid} }

// makeUser adds the system user unless it exists. Another unit on this machine may be adding it at
// the same time.
func (h *Host) makeUser(ctx context.Context) error {
	if !h.rooted() {
		return nil
	}
	var unknown user.UnknownUserError
	if _, err := user.Lookup(h.user); !errors.As(err, &unknown) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err := h.command(ctx, "useradd", "--system", "--user-group", "--no-create-home",
		"--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", h.user)
	if err != nil {
		if _, there := user.Lookup(h.user); there == nil {
			return nil
		}
		return fmt.Errorf("cannot add system user: %w", err)
	}
	return nil
}
