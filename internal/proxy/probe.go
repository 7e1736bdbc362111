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

// MemberProbe is what one look at a member found.
type MemberProbe struct {
	// Name is the member's name as configured, or as etcd lists it.
	Name string
	// ClientURL is what was dialled, scheme://host:port.
	ClientURL string
	// Reachable says that the member answered over the configured credentials.
	Reachable bool
	// RTT is the time of one request on an open connection; 0 if not reachable.
	RTT time.Duration
	// Version is the server's, "3.7.3"; "" if not reachable.
	Version string
	// CertRemaining is the time until the certificate that it showed expires;
	// 0 if not reachable, or without TLS.
	CertRemaining time.Duration
	// Reads says that the member answered a linearizable read: it has a quorum.
	Reads bool
	// Alarms are NOSPACE and CORRUPT, where they are raised: writes are refused.
	Alarms []string
	// Error says why the member is not reachable, or why it serves no writes: a
	// learner and a member cut off answer no linearizable read. Else it is "".
	Error string
}

// All members are looked at together. One of which nothing has been heard for
// probeSilence is given up: a machine that is gone does not take the connection,
// and a process that hangs does not shake hands. One that goes on step by step is
// only far away, and has probeTimeout. Where addresses are to be asked for, listWait
// bounds that.
const (
	probeSilence = 3 * time.Second
	probeTimeout = 15 * time.Second
	listWait     = 5 * time.Second
)

// refusalWait bounds the wait for a member's word on why it hangs up.
const refusalWait = time.Second

// Probe looks at every member that a proxy with this configuration would use,
// by connections of its own. It returns within about five seconds where members
// are near or silent (ten if their addresses are to be asked for), and within twenty
// wherever they are. The order is the configuration's.
func Probe(ctx context.Context, c Config) []MemberProbe {
	creds, err := loadCredentials(c.Credentials)
	var l listing
	if err == nil && needsListing(c) {
		// Without an answer the addresses are guessed, as the proxy does.
		dctx, cancel := context.WithTimeout(ctx, listWait)
		l, _ = discover(dctx, c, creds)
		cancel()
	}
	kept, _ := readLearned(c.Learned, c, creds)
	configured, spare := targets(c, l.members, kept).split()
	out := probeAll(ctx, configured, creds, err)
	if len(spare) > 0 && !slices.ContainsFunc(out, func(p MemberProbe) bool { return p.Reachable }) {
		// Whoever wrote the configuration does not know yet where the members are now.
		if there := probeAll(ctx, spare, creds, err); slices.ContainsFunc(there, func(p MemberProbe) bool { return p.Reachable }) {
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

// printable replaces what a terminal would obey rather than show. Members say
// these texts: names in a certificate, an error of gRPC.
func printable(r rune) rune {
	if r != ' ' && r != '\n' && !unicode.IsPrint(r) {
		return '�'
	}
	return r
}

// refusal asks why a member hangs up; nil if it does not say. In TLS 1.3 the
// client's handshake is over before the server has looked at its certificate:
// the complaint comes with the first read, which gRPC loses if its first write
// meets a closed connection.
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
