package proxy

import (
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// followInterval is how soon a changed file is seen when no client comes.
const followInterval = time.Second

// stamp differs when a file's content does, without reading it. A file replaced by rename has
// another inode even within one tick of the clock.
type stamp struct {
	exists       bool
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
}

func stampOf(path string) stamp {
	if path == "" {
		return stamp{}
	}
	fi, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{
			exists: true, size: fi.Size(), mtime: syscall.NsecToTimespec(fi.ModTime().UnixNano()),
		}
	}
	return stamp{exists: true, dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim}
}

// credentialStamp covers the three files and the paths they were read from.
type credentialStamp struct {
	paths         Credentials
	ca, cert, key stamp
}

func credentialStampOf(paths Credentials) credentialStamp {
	return credentialStamp{
		paths: paths,
		ca:    stampOf(paths.CA), cert: stampOf(paths.Cert), key: stampOf(paths.Key),
	}
}

// follower holds the configuration and credentials last found good on disk. A broken file is logged
// once for each content and changes nothing: half a rename of three files, or a bad edit, must not
// cut off what works.
type follower struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	cfg     Config
	cfgAt   stamp
	creds   *credentials
	credsAt credentialStamp
}

// newFollower reads the configuration, which must be good at the start, and
// the credentials, which may become good later.
func newFollower(path string, log *slog.Logger) (*follower, error) {
	at := stampOf(path)
	cfg, err := ReadConfig(path)
	if err != nil {
		return nil, err
	}
	f := &follower{path: path, log: log, cfg: cfg, cfgAt: at}
	f.refreshCredentials()
	return f, nil
}

// current returns what was last found good; credentials are nil where there
// are none.
func (f *follower) current() (Config, *credentials) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cfg, f.creds
}

// refresh looks at the files again (four stats if nothing changed) and reports
// whether the configuration or the credentials did change.
func (f *follower) refresh() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := f.refreshConfig()
	return f.refreshCredentials() || changed
}

// refreshConfig stamps before it reads. Content that arrives in between is read now and, because
// its stamp is new, once more the next time.
func (f *follower) refreshConfig() bool {
	at := stampOf(f.path)
	if at == f.cfgAt {
		return false
	}
	f.cfgAt = at
	cfg, err := ReadConfig(f.path)
	if err != nil {
		f.log.Error("new proxy configuration is not usable, the old one stays", "error", err)
		return false
	}
	if !slices.Equal(cfg.Listen, f.cfg.Listen) ||
		!slices.Equal(cfg.Also, f.cfg.Also) ||
		cfg.Socket != f.cfg.Socket {
		f.log.Warn("listen addresses changed: a restart is needed for that",
			"listen", cfg.Listen, "also", cfg.Also, "socket", cfg.Socket.Path)
	}
	f.cfg = cfg
	f.log.Info("proxy configuration read again", "members", len(cfg.Members))
	return true
}

func (f *follower) refreshCredentials() bool {
	at := credentialStampOf(f.cfg.Credentials)
	if at == f.credsAt {
		return false
	}
	f.credsAt = at
	creds, err := loadCredentials(f.cfg.Credentials)
	if err != nil {
		f.log.Error("credentials are not usable, the old ones stay", "error", err)
		return false
	}
	f.creds = creds
	f.log.Info("credentials read", "present", creds != nil)
	return true
}
