package sim

import (
	"fmt"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/juju-charms/etcd-charm/internal/sim/hooktool"
	"github.com/juju-charms/etcd-charm/internal/sim/model"
	"github.com/juju-charms/etcd-charm/internal/sim/pid1"
)

// toolServer answers the hook tools of one model.
type toolServer struct {
	listener net.Listener
	address  string
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

// Jujuc is the name of the service on the wire.
type Jujuc struct {
	m       *model.Model
	calls   *transcript
	systemd func(machine int) *pid1.Manager
	// exec runs what a process of a machine asks Juju to run in a unit's context.
	exec func(unit, command string) error
}

// execTools run a command in the context of a unit on the machine, outside any hook.
var execTools = []string{"juju-exec", "juju-run"}

// machineTools returns the commands that a machine has in addition to this host's.
func machineTools() []string { return slices.Concat(pid1.Commands(), execTools) }

// Main runs one tool, or one of systemd's commands on a machine.
func (j *Jujuc) Main(req hooktool.Request, reply *hooktool.Reply) error {
	if slices.Contains(pid1.Commands(), req.CommandName) {
		var machine int
		if _, err := fmt.Sscanf(req.ContextId, machineContext, &machine); err != nil {
			return fmt.Errorf("cannot tell the machine by %q: %w", req.ContextId, err)
		}
		*reply = hooktool.Reply(j.systemd(machine).Command(req.CommandName, req.Args))
		return nil
	}
	if slices.Contains(execTools, req.CommandName) {
		if len(req.Args) != 2 {
			*reply = hooktool.Reply{
				Code: 2, Stderr: []byte("ERROR a unit and a command are known here, and nothing else\n"),
			}
		} else if err := j.exec(req.Args[0], req.Args[1]); err != nil {
			*reply = hooktool.Reply{Code: 1, Stderr: fmt.Appendf(nil, "ERROR %v\n", err)}
		}
		return nil
	}
	c, err := j.m.Context(req.ContextId)
	if err != nil {
		return err
	}
	out, err := c.Call(model.Request{
		Tool: req.CommandName, Args: req.Args, Dir: req.Dir, Stdin: req.Stdin, StdinSet: req.StdinSet,
		ReadFile: func(path string) ([]byte, error) {
			if !filepath.IsAbs(path) {
				path = filepath.Join(req.Dir, path)
			}
			return os.ReadFile(path)
		},
	})
	if err != nil {
		return err
	}
	if err := j.calls.tell(Call{
		c.Unit(), c.Hook.Name(), req.CommandName, req.Args, req.Stdin, out.Stdout, out.Stderr,
	}); err != nil {
		return err
	}
	*reply = hooktool.Reply(out)
	return nil
}

func serveTools(jujuc *Jujuc) (*toolServer, error) {
	// The kernel chooses a free abstract name: no path, so no limit of 108 bytes.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix"})
	if err != nil {
		return nil, err
	}
	srv := rpc.NewServer()
	if err := srv.RegisterName("Jujuc", jujuc); err != nil {
		return nil, err
	}
	t := &toolServer{listener: l, address: l.Addr().String(), conns: map[net.Conn]bool{}}
	go t.accept(srv)
	return t, nil
}

func (t *toolServer) accept(srv *rpc.Server) {
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			return
		}
		if !allowed(conn) {
			conn.Close()
			continue
		}
		t.mu.Lock()
		t.conns[conn] = true
		t.mu.Unlock()
		go func() {
			srv.ServeConn(conn)
			t.mu.Lock()
			delete(t.conns, conn)
			t.mu.Unlock()
		}()
	}
}

// Close stops serving and ends open connections.
func (t *toolServer) Close() error {
	err := t.listener.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	for conn := range t.conns {
		conn.Close()
	}
	return err
}

// ToolMain is the hook tool's side. If the program was called by the name of a hook tool, from
// within a hook, ToolMain runs the tool and exits; otherwise it returns.
func ToolMain() {
	if os.Getenv("JUJU_CONTEXT_ID") != "" &&
		slices.Contains(slices.Concat(model.AllTools(), machineTools()), filepath.Base(os.Args[0])) {
		hooktool.Main()
	}
}
