package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/juju-charms/etcd-charm/internal/regular"
)

// Modes, each argued: secret is the default; public is for certificates and lists, which the
// server's user reads and which hold nothing secret.
const (
	secret fs.FileMode = 0o600
	public fs.FileMode = 0o644
)

// file is one file that is written whole, by rename.
type file struct {
	path  string
	data  []byte
	mode  fs.FileMode
	owner owner
}

// Format prints path, mode and length under every verb: the data may be a private key.
func (f file) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "%s %v (%d bytes)", f.path, f.mode, len(f.data))
}

// writeFiles writes all files to disk beside their places, then renames them in quick succession. A
// reader of a certificate and its key can meet a pair that does not match for microseconds at most.
// A file that already has the content is left alone.
func writeFiles(files ...file) error {
	var pending []*renameio.PendingFile
	defer func() {
		for _, p := range pending {
			_ = p.Cleanup()
		}
	}()
	dirs := map[string]bool{}
	for _, f := range files {
		if f.unchanged() {
			continue
		}
		dir := filepath.Dir(f.path)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("cannot write %s: %w", f.path, err)
		}
		p, err := renameio.NewPendingFile(f.path,
			renameio.WithTempDir(dir), renameio.WithStaticPermissions(f.mode))
		if err != nil {
			return fmt.Errorf("cannot write %s: %w", f.path, err)
		}
		pending = append(pending, p)
		if err := f.fill(p); err != nil {
			return fmt.Errorf("cannot write %s: %w", f.path, err)
		}
		dirs[dir] = true
	}
	for _, p := range pending {
		if err := p.CloseAtomicallyReplace(); err != nil {
			return fmt.Errorf("cannot replace file: %w", err)
		}
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (f file) fill(p *renameio.PendingFile) error {
	if _, err := p.Write(f.data); err != nil {
		return err
	}
	if f.owner.set {
		if err := p.Chown(f.owner.uid, f.owner.gid); err != nil {
			return err
		}
	}
	return p.Sync()
}

func (f file) unchanged() bool {
	info, err := os.Lstat(f.path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != f.mode || !f.owner.owns(info) {
		return false
	}
	return f.says()
}

// says reports whether the file at the path has the content that it should have.
func (f file) says() bool {
	data, err := regular.Read(f.path)
	return err == nil && bytes.Equal(data, f.data)
}

// ignoreClose closes what was only read, or what was synced already: its error loses nothing.
func ignoreClose(c io.Closer) { _ = c.Close() }

// syncDir makes a rename in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot sync directory: %w", err)
	}
	defer ignoreClose(d)
	if err := d.Sync(); err != nil {
		return fmt.Errorf("cannot sync directory %s: %w", dir, err)
	}
	return nil
}

// directory makes a directory with its parents, and corrects mode and owner of the last one.
func directory(path string, mode fs.FileMode, o owner) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("cannot make directory: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cannot make directory: %w", err)
	}
	if info.Mode().Perm() != mode {
		if err := os.Chmod(path, mode); err != nil {
			return fmt.Errorf("cannot make directory: %w", err)
		}
	}
	if o.set && !o.owns(info) {
		if err := os.Chown(path, o.uid, o.gid); err != nil {
			return fmt.Errorf("cannot make directory: %w", err)
		}
	}
	return nil
}

// readOptional reads a file; it returns nil for a file that does not exist.
func readOptional(path string) ([]byte, error) {
	data, err := regular.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// envLines reads the lines "KEY=value" of an environment file; nil if there is none.
func envLines(path string) ([]string, error) {
	data, err := readOptional(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read environment: %w", err)
	}
	return parseEnv(data), nil
}

func parseEnv(data []byte) []string {
	var out []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if key, _, ok := strings.Cut(line, "="); ok && key != "" && !strings.HasPrefix(key, "#") {
			out = append(out, line)
		}
	}
	return out
}

// formatEnv is parseEnv's inverse. systemd interprets quotes, backslashes and comments in an
// environment file, and parseEnv does not. formatEnv refuses lines that the two would read
// differently.
func formatEnv(lines []string) ([]byte, error) {
	var b bytes.Buffer
	for _, line := range lines {
		key, value, ok := strings.Cut(line, "=")
		if !ok || key == "" || strings.ContainsAny(value, "\"'\\") || strings.TrimSpace(value) != value ||
			strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, fmt.Errorf(
				"cannot write setting %q: its value has quotes, backslashes, control characters or spaces at an end",
				key)
		}
		b.WriteString(line + "\n")
	}
	return b.Bytes(), nil
}

func lookup(env []string, key string) string {
	for _, line := range env {
		if k, v, ok := strings.Cut(line, "="); ok && k == key {
			return v
		}
	}
	return ""
}
