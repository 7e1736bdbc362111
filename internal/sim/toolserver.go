package sim

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// ToolRequest is what a hook tool sends: the shape of Juju's own, from 2.8 to 4.0.
type ToolRequest struct {
	ContextId   string //nolint:revive // the name on the wire
	Dir         string
	CommandName string
	Args        []string
	StdinSet    bool
	Stdin       []byte
	Token       string
}

// ToolReply is what it gets back.
type ToolReply struct {
	Code   int
	Stdout []byte
	Stderr []byte
}

// toolServer answers the hook tools of one model.
type toolServer struct {
	listener net.Listener
	address  string
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

// Jujuc is the name of the service on the wire.
type Jujuc struct{ m *model.Model }

// Main runs one tool.
func (j *Jujuc) Main(req ToolRequest, reply *ToolReply) error {
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
	*reply = ToolReply(out)
	return nil
}

func serveTools(m *model.Model) (*toolServer, error) {
	// The kernel chooses a free abstract name: no path, so no limit of 108 bytes.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix"})
	if err != nil {
		return nil, err
	}
	srv := rpc.NewServer()
	if err := srv.RegisterName("Jujuc", &Jujuc{m}); err != nil {
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

// ToolMain is the hook tool's side: if the program was called by the name of a
// hook tool, from within a hook, it runs the tool and exits; else it returns.
func ToolMain() {
	name := filepath.Base(os.Args[0])
	if os.Getenv("JUJU_CONTEXT_ID") == "" || !slices.Contains(model.AllTools(), name) {
		return
	}
	code, err := callTool(name, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "ERROR %v\n", err)
		code = 1
	}
	os.Exit(code)
}

func callTool(name string, args []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	dir, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	client, err := rpc.Dial(os.Getenv("JUJU_AGENT_SOCKET_NETWORK"), os.Getenv("JUJU_AGENT_SOCKET_ADDRESS"))
	if err != nil {
		return 0, fmt.Errorf("cannot reach the agent: %w", err)
	}
	defer client.Close()
	req := ToolRequest{ContextId: os.Getenv("JUJU_CONTEXT_ID"), Dir: dir, CommandName: name, Args: args}
	var reply ToolReply
	err = client.Call("Jujuc.Main", req, &reply)
	if err != nil && err.Error() == model.ErrNoStdin.Error() {
		if req.Stdin, err = io.ReadAll(stdin); err != nil {
			return 0, err
		}
		req.StdinSet = true
		err = client.Call("Jujuc.Main", req, &reply)
	}
	if err != nil {
		return 0, err
	}
	_, outErr := stdout.Write(reply.Stdout)
	_, errErr := stderr.Write(reply.Stderr)
	return reply.Code, errors.Join(outErr, errErr)
}
