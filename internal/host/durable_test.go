package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// synced is one fsync: the file, and which of the awaited names were in place at that time.
type synced struct {
	Path   string
	Placed []string
}

// TestWhatIsWrittenOutlastsAPowerCut: content is on the disk before its name is, and the name
// before the next step. A separate process does the steps, and the kernel reports each of its
// fsyncs before it is done.
func TestWhatIsWrittenOutlastsAPowerCut(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], "write-durably", root)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	require.NoError(t, cmd.Run(), "the kernel must have seccomp's notifications (Linux 5.7)")
	var found map[string][]synced
	require.NoError(t, json.Unmarshal(out.Bytes(), &found), out.String())

	h := durable(root)
	for writing, tt := range map[string]struct {
		before []string // synced before any name is in its place; the end of a temporary name is left out
		placed []string
		dir    string // synced once all names are in place
	}{
		"files": {
			before: []string{h.tls(".a.crt"), h.tls(".a.key")},
			placed: []string{h.tls("a.crt"), h.tls("a.key")}, dir: filepath.Clean(h.tls("")),
		},
		"aside": {placed: []string{h.data() + ".1970-01-01T000000Z-a-test"}, dir: h.state()},
		"release": {
			before: []string{filepath.Join(h.release("r"), "."+binaryName)},
			placed: []string{h.binary("r"), filepath.Join(h.release("r"), "etcd")}, dir: h.opt(),
		},
	} {
		t.Run(writing, func(t *testing.T) {
			t.Parallel()
			for _, path := range tt.before {
				assert.True(t, slices.ContainsFunc(found[writing], func(s synced) bool {
					return strings.TrimRight(s.Path, "0123456789") == path && len(s.Placed) == 0
				}), "%s is synced before any name: %v", path, found[writing])
			}
			require.NotEmpty(t, found[writing], "nothing is synced")
			assert.Equal(t, synced{tt.dir, tt.placed}, found[writing][len(found[writing])-1], "the last")
		})
	}
}

// durable is the test's unit, on which nothing was started.
func durable(root string) *Host {
	return New(Options{
		Root: root, Unit: "etcd/0", Now: func() time.Time { return time.Unix(0, 0) },
		Binary: filepath.Join(root, "carried"),
	})
}

// writeDurably does the steps and prints what they sync.
func writeDurably(ctx context.Context, root string) error {
	h := durable(root)
	for _, dir := range []string{h.tls(""), filepath.Join(h.data(), "member"), h.opt()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(h.carried, []byte("a program"), 0o700); err != nil {
		return err
	}
	w, err := watchSyncs()
	if err != nil {
		return fmt.Errorf("cannot watch syscalls: %w", err)
	}
	found := map[string][]synced{}
	for _, writing := range []struct {
		name   string
		places []string
		do     func() error
	}{
		{"files", []string{h.tls("a.crt"), h.tls("a.key")}, func() error {
			return writeFiles(
				file{path: h.tls("a.key"), data: []byte("k"), mode: secret},
				file{path: h.tls("a.crt"), data: []byte("c"), mode: public})
		}},
		{"aside", []string{h.data() + ".1970-01-01T000000Z-a-test"}, func() error { return h.putAside(ctx, "a test") }},
		{"release", []string{h.binary("r"), filepath.Join(h.release("r"), "etcd")}, func() error { return h.copyRelease("r") }},
	} {
		w.begin(writing.places)
		if err := writing.do(); err != nil {
			return err
		}
		found[writing.name] = w.begin(nil)
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

// syncWatch receives each fsync of this process from the kernel.
type syncWatch struct {
	listener uintptr

	mu     sync.Mutex
	places []string // that Placed may name
	syncs  []synced
}

// begin watches other names from now on, and returns what was synced before.
func (w *syncWatch) begin(places []string) []synced {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.syncs
	w.places, w.syncs = places, nil
	return was
}

// watchSyncs makes the kernel stop each fsync of this process until it is recorded
// (seccomp_unotify(2)).
func watchSyncs() (*syncWatch, error) {
	runtime.LockOSThread() // the filter belongs to this thread until it is extended to all threads
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	const nr = 0 // the offset of the system call's number in struct seccomp_data
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: nr},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_FSYNC, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER |
		unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	listener, _, errno := unix.Syscall(
		unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return nil, errno
	}
	w := &syncWatch{listener: listener}
	go w.listen()
	return w, nil
}

// listen records each fsync and lets it go on.
func (w *syncWatch) listen() {
	for {
		var call struct { // struct seccomp_notif
			ID         uint64
			PID, Flags uint32
			Nr         int32
			Arch       uint32
			IP         uint64
			Args       [6]uint64
		}
		if err := w.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&call)); err != nil {
			if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOENT) {
				continue // the thread was interrupted, and calls again
			}
			panic(err)
		}
		w.note(call.Args[0])
		reply := struct { // struct seccomp_notif_resp
			ID           uint64
			Val          int64
			Error, Flags int32
		}{ID: call.ID, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if err := w.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&reply)); err != nil && !errors.Is(err, unix.ENOENT) {
			panic(err)
		}
	}
}

func (w *syncWatch) ioctl(request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, w.listener, request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

func (w *syncWatch) note(fd uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		panic(err)
	}
	s := synced{Path: path}
	for _, place := range w.places {
		if _, err := os.Lstat(place); err == nil {
			s.Placed = append(s.Placed, place)
		}
	}
	w.syncs = append(w.syncs, s)
}
