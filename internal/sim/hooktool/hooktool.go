// Package hooktool is the hook's side of a hook tool: it sends its name and arguments to the
// simulator and prints the answer.
//
// The rule it keeps: it starts fast. It speaks the protocol of net/rpc (gob, over a unix socket),
// as Juju's own tools do. But it imports neither net/rpc, which brings in a web server, nor
// anything of the simulator.
package hooktool

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
)

// Request is what a tool sends: the shape of Juju's own, from 2.8 to 4.0.
type Request struct {
	ContextId   string //nolint:revive // the name on the wire
	Dir         string
	CommandName string
	Args        []string
	StdinSet    bool
	Stdin       []byte
	Token       string
}

// Reply is what it gets back.
type Reply struct {
	Code   int
	Stdout []byte
	Stderr []byte
}

// Method is the name of the one call.
const Method = "Jujuc.Main"

// NoStdin is the error of a tool that needs its standard input: the caller calls again with
// StdinSet.
const NoStdin = "hook tool requires stdin, none supplied"

// The two headers of net/rpc's wire.
type (
	requestHeader struct {
		ServiceMethod string
		Seq           uint64
	}
	replyHeader struct {
		ServiceMethod string
		Seq           uint64
		Error         string
	}
)

// Main runs the tool by whose name the program was called, and exits with its exit code.
func Main() {
	code, err := Run(filepath.Base(os.Args[0]), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "ERROR %v\n", err)
		code = 1
	}
	os.Exit(code)
}

// Run calls one tool and returns its exit code. The error is about the call, not from the tool.
func Run(name string, args []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	dir, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	conn, err := net.Dial(os.Getenv("JUJU_AGENT_SOCKET_NETWORK"),
		os.Getenv("JUJU_AGENT_SOCKET_ADDRESS"))
	if err != nil {
		return 0, fmt.Errorf("cannot reach the agent: %w", err)
	}
	defer conn.Close()
	enc, dec := gob.NewEncoder(conn), gob.NewDecoder(conn)
	req := Request{ContextId: os.Getenv("JUJU_CONTEXT_ID"), Dir: dir, CommandName: name, Args: args}
	reply, err := call(enc, dec, 0, req)
	if err != nil && err.Error() == NoStdin {
		if req.Stdin, err = io.ReadAll(stdin); err != nil {
			return 0, fmt.Errorf("cannot read standard input: %w", err)
		}
		req.StdinSet = true
		reply, err = call(enc, dec, 1, req)
	}
	if err != nil {
		return 0, err
	}
	_, outErr := stdout.Write(reply.Stdout)
	_, errErr := stderr.Write(reply.Stderr)
	return reply.Code, errors.Join(outErr, errErr)
}

func call(enc *gob.Encoder, dec *gob.Decoder, seq uint64, req Request) (Reply, error) {
	if err := errors.Join(enc.Encode(requestHeader{Method, seq}), enc.Encode(req)); err != nil {
		return Reply{}, err
	}
	var head replyHeader
	var reply Reply
	if err := dec.Decode(&head); err != nil {
		return Reply{}, fmt.Errorf("the agent went away: %w", err)
	}
	if head.Error != "" {
		// The body of an error is an empty struct.
		var none struct{}
		if err := dec.Decode(&none); err != nil {
			return Reply{}, err
		}
		return Reply{}, errors.New(head.Error)
	}
	err := dec.Decode(&reply)
	return reply, err
}
