package proxy

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// Address is where a proxy listens: network "tcp" or "unix", and an address of that network.
type Address struct{ Network, Address string }

// throughGrace is how much longer a read through the proxy may take than the looks at its members,
// which need as many round trips. A proxy that has just been started is waited for as well.
const throughGrace = 5 * time.Second

// Look does what Probe does, and what an application of the machine does at the same time: it reads a
// key, linearizably, through each address that a proxy listens on. The errors are those of the
// addresses, in their order; nil is an answer.
func Look(ctx context.Context, c Config, through []Address) ([]MemberProbe, []error) {
	rctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	out := make([]error, len(through))
	var wg sync.WaitGroup
	for i, at := range through {
		wg.Go(func() { out[i] = read(rctx, at) })
	}
	probes := Probe(ctx, c)
	if slices.ContainsFunc(probes, func(p MemberProbe) bool { return p.Reads }) {
		timer := time.AfterFunc(throughGrace, giveUp)
		defer timer.Stop()
	} else {
		giveUp() // nothing would get through
	}
	wg.Wait()
	return probes, out
}

// errNoAnswer is why a read through the proxy failed that took the connection.
var errNoAnswer = errors.New("no answer")

// read reads through the proxy at an address until ctx ends. The error is what keeps the connection
// from being made, if anything does: gRPC would hide it among its retries.
func read(ctx context.Context, at Address) error {
	var mu sync.Mutex
	why := errNoAnswer
	conn, err := newClientConn(func(ctx context.Context) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, at.Network, at.Address)
		mu.Lock()
		defer mu.Unlock()
		why = errNoAnswer
		if op, ok := errors.AsType[*net.OpError](err); ok {
			why = op.Err
		}
		return c, err
	}, "proxy")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if readQuorum(ctx, conn, grpc.WaitForReady(true)) == nil {
		return nil
	}
	mu.Lock()
	defer mu.Unlock()
	return why
}

// alarmsIn are the alarms among what a member complains of, on account of which writes are refused.
func alarmsIn(st *pb.StatusResponse) []string {
	var out []string
	for _, kind := range []pb.AlarmType{pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT} {
		if slices.ContainsFunc(st.GetErrors(), func(s string) bool { return strings.Contains(s, "alarm:"+kind.String()) }) {
			out = append(out, kind.String())
		}
	}
	return out
}
