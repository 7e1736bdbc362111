package host

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// GateName is the name under which the gate is called. A link with that name lies beside each copy
// of the program that has a gate.
const GateName = "etcd-gate"

// staysDown is in the gate's last line if the server must not start.
const staysDown = "stays down until the next hook of its unit"

// gateTime bounds the gate. A peer that has not answered by then counts as silent: after a power
// cut of the whole cluster no peer answers, and the cluster must start all the same.
const gateTime = 4500 * time.Millisecond

// gatePause separates the two connections to a peer that closes the first one without a reason. A
// peer that is about to end closes one, and is gone by the second; a peer that has our certificate
// on its revocation list closes each (client/pkg/v3 transport, listener_tls.go).
const gatePause = 300 * time.Millisecond

// Gate judges whether the server may start with the data on this machine, and returns the exit
// code. It decides by the fence in a file and by what peers answer. env looks up the server's own
// settings; out receives the findings in words. If anything keeps the gate from judging, the server
// may start: the server and the hooks then find out what the data is worth, as they would without a
// gate.
func Gate(ctx context.Context, fence string, env func(string) string, out io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(out, "%s: internal error, the server may start: %v\n", GateName, r)
			code = 0
		}
	}()
	f, err := readFence(fence)
	if err != nil {
		fmt.Fprintf(out, "%s: the server may start: no fence can be read: %v\n", GateName, err)
		return 0
	}
	meta, err := walIdentity(filepath.Join(env("ETCD_DATA_DIR"), "member", "wal"))
	if err != nil {
		fmt.Fprintf(out, "%s: the server may start: there is no data of a member: %v\n", GateName, err)
		return 0
	}
	data := operator.Data{
		State: operator.OurData, ClusterID: meta.GetClusterID(), MemberID: meta.GetNodeID(),
	}
	answers, err := askPeers(ctx, f.Asks(data), env)
	if err != nil {
		fmt.Fprintf(out, "%s: no peer is asked: %v\n", GateName, err)
	}
	for _, a := range answers {
		fmt.Fprintf(out, "%s: %s %s\n", GateName, a.URL, a.words)
	}
	hold, by := f.Hold(data, judged(answers))
	if hold == operator.NotHeld {
		fmt.Fprintf(out, "%s: member %x of cluster %x may start\n",
			GateName, data.MemberID, data.ClusterID)
		return 0
	}
	if by != "" {
		by = " (" + by + ")"
	}
	fmt.Fprintf(out, "%s: member %x of cluster %x %s: %s%s\n",
		GateName, data.MemberID, data.ClusterID, staysDown, hold, by)
	if hold == operator.HeldUnlisted {
		fmt.Fprintf(out,
			"%s: if the unit was removed by force no hook will come, and this service can be removed\n",
			GateName)
	}
	return hold.Code()
}

// peerAnswer is an answer, and the same in words.
type peerAnswer struct {
	operator.PeerAnswer
	words string
}

func judged(answers []peerAnswer) (out []operator.PeerAnswer) {
	for _, a := range answers {
		out = append(out, a.PeerAnswer)
	}
	return out
}

// askPeers asks all peers in parallel.
func askPeers(ctx context.Context, urls []string, env func(string) string) ([]peerAnswer, error) {
	if len(urls) == 0 {
		return nil, nil
	}
	config, err := peerTLS(env)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, gateTime)
	defer cancel()
	answers := make([]peerAnswer, len(urls))
	asks := make([]func(), len(urls))
	for i, url := range urls {
		asks[i] = func() { answers[i] = askPeer(ctx, url, config) }
	}
	parallel(asks...)
	return answers, nil
}

// peerTLS returns the TLS settings with which the server itself speaks to its peers.
func peerTLS(env func(string) string) (*tls.Config, error) {
	cert, err := regular.Read(env("ETCD_PEER_CERT_FILE"))
	if err != nil {
		return nil, err
	}
	key, err := regular.Read(env("ETCD_PEER_KEY_FILE"))
	if err != nil {
		return nil, err
	}
	trust, err := regular.Read(env("ETCD_PEER_TRUSTED_CA_FILE"))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(trust) {
		return nil, errors.New("no authority is trusted")
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: roots,
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	}, nil
}

// errClosed means that a peer completed the handshake, and closed the connection without a reason.
var errClosed = errors.New("closes the connection after the handshake")

// askPeer asks one peer for its members. A refusal without a reason counts only if it comes twice.
func askPeer(ctx context.Context, at string, config *tls.Config) peerAnswer {
	out := peerAnswer{PeerAnswer: operator.PeerAnswer{URL: at}}
	err := out.ask(ctx, config)
	if errors.Is(err, errClosed) {
		select {
		case <-ctx.Done():
		case <-time.After(gatePause):
			err = out.ask(ctx, config)
		}
	}
	if err != nil {
		out.Reply, out.words = replyOf(ctx, err), err.Error()
		return out
	}
	out.Reply, out.words = operator.PeerAnswers,
		fmt.Sprintf("answers for cluster %x with %d members", out.ClusterID, len(out.Members))
	return out
}

// replyOf classifies an error of a peer.
func replyOf(ctx context.Context, err error) operator.PeerReply {
	var alert tls.AlertError
	var remote *net.OpError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return operator.PeerUntrusted
	case errors.Is(err, errClosed) && ctx.Err() == nil:
		return operator.PeerRefuses
	case errors.As(err, &alert), errors.As(err, &remote) && remote.Op == "remote error":
		return operator.PeerRefuses
	}
	return operator.PeerSilent
}

// ask asks once, over HTTP/1.1: the peer port offers h2 but does not serve it.
func (a *peerAnswer) ask(ctx context.Context, config *tls.Config) error {
	at, err := url.Parse(a.URL)
	if err != nil || at.Scheme != "https" {
		return fmt.Errorf("is not a peer URL: %s", a.URL)
	}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return fmt.Errorf("does not listen: %w", err)
	}
	defer ignoreClose(raw)
	defer context.AfterFunc(ctx, func() { ignoreClose(raw) })()
	own := config.Clone()
	own.ServerName = at.Hostname()
	conn := tls.Client(raw, own)
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("fails the TLS handshake: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+"/members", nil)
	if err != nil {
		return err
	}
	// In TLS 1.3 the client completes the handshake before the server has looked at its
	// certificate.
	if err := req.Write(conn); err != nil {
		return afterHandshake(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return afterHandshake(err)
	}
	defer ignoreClose(resp.Body)
	return a.read(resp)
}

// afterHandshake separates a connection that was closed from one that ended with a reason, or that
// hangs.
func afterHandshake(err error) error {
	for _, closed := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, closed) {
			return fmt.Errorf("%w: %w", errClosed, err)
		}
	}
	return fmt.Errorf("does not answer: %w", err)
}

// maxMembers bounds how many bytes of a member list are read.
const maxMembers = 1 << 20

// read parses the answer: the cluster ID from the header, and the list, as server/v3
// etcdhttp/peer.go writes them.
func (a *peerAnswer) read(resp *http.Response) error {
	var err error
	if a.ClusterID, err = strconv.ParseUint(
		resp.Header.Get("X-Etcd-Cluster-ID"), 16, 64,
	); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("does not answer like a member: %s", resp.Status)
	}
	var members []struct {
		ID uint64 `json:"id"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxMembers)).Decode(&members); err != nil {
		return fmt.Errorf("does not answer like a member: %w", err)
	}
	for _, m := range members {
		a.Members = append(a.Members, m.ID)
	}
	return nil
}
