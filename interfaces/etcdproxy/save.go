package etcdproxy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// The names of the three files in the directory form of saving, from the README of
// the interface of 2016.
const (
	FileCA   = "client-ca.pem"
	FileCert = "client-cert.pem"
	FileKey  = "client-key.pem"
)

const (
	// filePerm lets the owner alone read any of the three: whoever needs one of them
	// needs the key.
	filePerm fs.FileMode = 0o600
	// dirPerm is what a missing parent is made with. It is open to look into, because
	// the usual parents are shared (/etc/ssl with 0700 would break every TLS client of
	// the machine) and because the key is guarded by its own mode. Who wants it closed
	// makes the directory first: one that exists is left as it is.
	dirPerm fs.FileMode = 0o755
)

// Files is where credentials are saved. Package etcdproxy/osfiles has one for the
// machine's own file system. WriteFile replaces a file whole, with exactly the given
// mode, or leaves the old one as it was: a reader never meets half a file.
type Files interface {
	MkdirAll(dir string, perm fs.FileMode) error
	WriteFile(path string, data []byte, perm fs.FileMode) error
}

// SetFiles is a Files that can replace several files together: it readies all of them
// before it replaces the first, so that a full disk or a missing right leaves every
// old one in place. Saving uses it where it is there.
type SetFiles interface {
	Files
	WriteFiles(files []File) error
}

// File is one file to write. It prints without its content.
type File struct {
	Path string
	Data []byte
	Perm fs.FileMode
}

// String shows path, mode and length.
func (f File) String() string {
	return fmt.Sprintf("%s %v (%d bytes)", f.Path, f.Perm, len(f.Data))
}

// Format prints what String gives, under every verb and flag: the content may be a
// private key.
func (f File) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, f.String()) }

// MarshalText is what encoders get: String.
func (f File) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// SaveClientCredentials writes the three credentials to the three paths, the order of
// arguments being the old call's: key, cert, ca. Missing parents are made with mode
// 0755; the files have mode 0600. It is all three or an error: nothing is touched
// when one is missing or was refused. With a SetFiles none of the files changes when
// one of them cannot be written; with plain Files they are written one after another,
// the key last. Writing the same again is harmless.
func (r Requires) SaveClientCredentials(files Files, keyPath, certPath, caPath string) error {
	credentials, err := r.credentials()
	if err != nil {
		return fmt.Errorf("cannot save client credentials: %w", err)
	}
	set := []File{
		{Path: caPath, Data: []byte(credentials.CA), Perm: filePerm},
		{Path: certPath, Data: []byte(credentials.Cert), Perm: filePerm},
		{Path: keyPath, Data: []byte(credentials.Key), Perm: filePerm},
	}
	if err := checkPaths(set); err != nil {
		return fmt.Errorf("cannot save client credentials: %w", err)
	}
	if err := writeSet(files, set); err != nil {
		return fmt.Errorf("cannot save client credentials: %w", err)
	}
	return nil
}

// SaveClientCredentialsDir writes client-ca.pem, client-cert.pem and client-key.pem
// into a directory, as SaveClientCredentials does: the form that the interface's
// README has shown since 2016, save_client_credentials('/etc/ssl/etcd').
func (r Requires) SaveClientCredentialsDir(files Files, dir string) error {
	if dir == "" {
		return errors.New("cannot save client credentials: the directory has no name")
	}
	return r.SaveClientCredentials(files, path.Join(dir, FileKey), path.Join(dir, FileCert), path.Join(dir, FileCA))
}

func checkPaths(set []File) error {
	seen := make(map[string]bool)
	for _, file := range set {
		clean := path.Clean(file.Path)
		switch {
		case file.Path == "":
			return errors.New("a path is empty")
		case seen[clean]:
			return fmt.Errorf("%s is named twice", clean)
		}
		seen[clean] = true
	}
	return nil
}

func writeSet(files Files, set []File) error {
	for _, file := range set {
		if err := files.MkdirAll(path.Dir(file.Path), dirPerm); err != nil {
			return fmt.Errorf("cannot make %s: %w", path.Dir(file.Path), err)
		}
	}
	if together, ok := files.(SetFiles); ok {
		return together.WriteFiles(set)
	}
	for _, file := range set {
		if err := files.WriteFile(file.Path, file.Data, file.Perm); err != nil {
			return fmt.Errorf("cannot write %s: %w", file.Path, err)
		}
	}
	return nil
}
