// Package regular opens regular files, and nothing else. Opening a FIFO waits for a writer, and
// opening a device may act on it: a program that means to read a file must meet neither.
package regular

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// maxBytes bounds what Read takes: the files that it is used for are far smaller.
const maxBytes = 16 << 20

// Open opens a regular file for reading, or a link to one.
func Open(path string) (*os.File, error) { return OpenFile(path, os.O_RDONLY, 0) }

// OpenFile is os.OpenFile for a regular file that exists.
func OpenFile(path string, flag int, perm os.FileMode) (*os.File, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, notRegular(path)
	}
	// Another file may have taken its place since: do not wait for that one, and check again.
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK|syscall.O_NOCTTY, perm)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close() // nothing was written
		return nil, notRegular(path)
	}
	return f, nil
}

// Read reads a regular file of at most 16 MiB whole.
func Read(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && len(data) > maxBytes {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxBytes)
	}
	return data, err
}

func notRegular(path string) error { return fmt.Errorf("%s is not a regular file", path) }
