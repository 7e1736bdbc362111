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

// owner is whom a file belongs to. The zero value leaves it to whoever writes.
type owner struct {
	set      bool
	uid, gid int
}

func (o owner) owns(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !o.set || (ok && int(stat.Uid) == o.uid && int(stat.Gid) == o.gid)
}

// rooted reports whether the machine is ours to make users on: not under a root prefix, and not as an ordinary user.
func (h *Host) rooted() bool { return h.user != "" }

// serverOwner is who runs the server: the system user, or ourselves where we make none.
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

// adminOwner is root where there is a choice.
func (h *Host) adminOwner() owner { return owner{set: h.rooted()} }

// sharedOwner is root, readable by the server's group.
func sharedOwner(server owner) owner { return owner{set: server.set, gid: server.gid} }

// makeUser adds the system user unless it is there. Another unit on this machine may be adding it too.
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
