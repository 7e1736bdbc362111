package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// MemberProbe is what one probe of a member found.
type MemberProbe struct {
	// Name is the member's name as configured, or as etcd lists it.
	Name string
	// ClientURL is what was dialled, scheme://host:port.
	ClientURL string
	// Reachable is true if the member answered over the configured credentials.
	Reachable bool
	// RTT is the time of one request on an open connection; 0 if not reachable.
	RTT time.Duration
	// Version is the server's, "3.7.3"; "" if not reachable.
	Version string
	// CertRemaining is the time until the certificate that the member showed expires; 0 if not
	// reachable, or without TLS.
	CertRemaining time.Duration
	// Reads is true if the member answered a linearizable read: it has a quorum.
	Reads bool
	// Alarms are the raised ones among NOSPACE and CORRUPT: writes are refused.
	Alarms []string
	// Error says why the member is not reachable, or why it serves no writes (a learner, and a
	// member that is cut off, answer no linearizable read). Otherwise it is "".
	Error string
}

// All members are probed together. A member from which nothing has been heard for probeSilence is
// given up: a machine that is gone does not accept the connection, and a process that hangs does
// not shake hands. One that makes progress is only far away, and has probeTimeout. listWait bounds
// the time in which addresses are asked for.
const (
	probeSilence = 3 * time.Second
	probeTimeout = 15 * time.Second
	listWait     = 5 * time.Second
)

// refusalWait bounds the wait for a member's reason to hang up.
const refusalWait = time.Second

// Probe probes every member that a proxy with this configuration would use, over connections of its
// own. It returns within about five seconds where members are near or silent (ten if their
// addresses have to be asked for), and within twenty in any case. The order is the configuration's.
func Probe(ctx context.Context, c Config) []MemberProbe {
	creds, err := loadCredentials(c.Credentials)
	var l listing
	if err == nil && needsListing(c) {
		// Without an answer the addresses are guessed, as in the proxy.
		dctx, cancel := context.WithTimeout(ctx, listWait)
		l, _ = discover(dctx, c, creds)
		cancel()
	}
	kept, _ := readLearned(c.Learned, c, creds)
	configured, spare := targets(c, l.members, kept).split()
	out := probeAll(ctx, configured, creds, err)
	if len(spare) > 0 && !slices.ContainsFunc(out, func(p MemberProbe) bool { return p.Reachable }) {
		// The configuration may be older than the members' present addresses.
		if there := probeAll(ctx, spare, creds, err); slices.ContainsFunc(there, func(p MemberProbe) bool {
			return p.Reachable
		}) {
			out = there
		}
	}
	for i := range out {
		for _, text := range []*string{&out[i].Name, &out[i].Version, &out[i].Error} {
			*text = strings.Map(printable, *text)
		}
	}
	return out
}

// probeAll probes targets side by side; err is why none can be.
func probeAll(ctx context.Context, ts []target, creds *credentials, err error) []MemberProbe {
	out := make([]MemberProbe, len(ts))
	var wg sync.WaitGroup
	for i, t := range ts {
		out[i] = MemberProbe{Name: t.name, ClientURL: t.url}
		if err != nil {
			out[i].Error = err.Error()
			continue
		}
		wg.Go(func() {
			if err := probe(ctx, t, creds, &out[i]); err != nil {
				out[i].Error = err.Error()
			}
		})
	}
	wg.Wait()
	return out
}

// printable replaces what a terminal would obey rather than show. The texts come from members:
// names in a certificate, an error of gRPC.
func printable(r rune) rune {
	if r != ' ' && r != '\n' && !unicode.IsPrint(r) {
		return '�'
	}
	return r
}

// refusal asks why a member hangs up; nil if it does not say. In TLS 1.3 the client's handshake is
// over before the server has looked at its certificate. The server's error comes with the first
// read, and gRPC loses it if its first write meets a closed connection.
func refusal(ctx context.Context, t target, creds *credentials) error {
	up, err := dial(ctx, t, creds, alpnH2)
	if err != nil {
		return err
	}
	defer func() { _ = up.raw.Close() }()
	if err := up.SetReadDeadline(time.Now().Add(refusalWait)); err != nil {
		return err
	}
	if _, err := up.Read(make([]byte, 1)); isRefusal(err) {
		return err
	}
	return nil
}

// listening returns a context that ends when heard has not been called for probeSilence, and after
// probeTimeout in all.
func listening(ctx context.Context) (_ context.Context, heard, cancel func()) {
	ctx, end := context.WithTimeout(ctx, probeTimeout)
	silent := time.AfterFunc(probeSilence, end)
	return ctx, func() { silent.Reset(probeSilence) }, func() {
		silent.Stop()
		end()
	}
}

// probe fills into with what t answers.
func probe(ctx context.Context, t target, creds *credentials, into *MemberProbe) error {
	ctx, heard, cancel := listening(ctx)
	defer cancel()
	// Dialled here and handed over: gRPC would hide the cause of a failed
	// handshake behind its own retries.
	first, err := dialAs(ctx, Shipped, t, creds, alpnH2, heard)
	if err != nil {
		return err
	}
	heard()
	defer func() { _ = first.raw.Close() }()
	given := make(chan net.Conn, 1)
	given <- first
	conn, err := newClientConn(func(ctx context.Context) (net.Conn, error) {
		select {
		case c := <-given:
			return c, nil
		default:
			return dial(ctx, t, creds, alpnH2)
		}
	}, t.addr)
	if err != nil {
		return fmt.Errorf("cannot probe: %w", err)
	}
	defer func() { _ = conn.Close() }()
	m := pb.NewMaintenanceClient(conn)
	if _, err := m.Status(ctx, &pb.StatusRequest{}); err != nil {
		return fmt.Errorf("cannot read status: %w", errors.Join(refusal(ctx, t, creds), err))
	}
	heard()
	start := time.Now()
	st, err := m.Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return fmt.Errorf("cannot read status: %w", err)
	}
	heard()
	into.Reachable, into.RTT, into.Version = true, time.Since(start), st.GetVersion()
	into.Alarms = alarmsIn(st)
	if secured, ok := first.Conn.(*tls.Conn); ok {
		into.CertRemaining = time.Until(secured.ConnectionState().PeerCertificates[0].NotAfter)
	}
	if err := readQuorum(ctx, conn); err != nil {
		return fmt.Errorf("cannot read through the quorum: %w", err)
	}
	into.Reads = true
	return nil
}
