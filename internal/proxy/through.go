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

// throughGrace is how much longer a read through the proxy may take than the probes of its members,
// which need as many round trips. It also covers a proxy that has just been started.
const throughGrace = 5 * time.Second

// Look does what Probe does, and beside it what an application on the machine does: it reads a key,
// linearizably, through each address that a proxy listens on. The errors are those of the
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

// errNoAnswer is why a read failed although the proxy accepted the connection.
var errNoAnswer = errors.New("no answer")

// read reads through the proxy at an address until ctx ends. If the connection cannot be made, the
// error says why: gRPC would hide it among its retries.
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

// alarmsIn are those alarms among a member's errors that make it refuse writes.
func alarmsIn(st *pb.StatusResponse) []string {
	var out []string
	for _, kind := range []pb.AlarmType{pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT} {
		if slices.ContainsFunc(st.GetErrors(), func(s string) bool {
			return strings.Contains(s, "alarm:"+kind.String())
		}) {
			out = append(out, kind.String())
		}
	}
	return out
}
