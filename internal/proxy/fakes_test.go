package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// echoMember is a TLS server that switches each connection to a protocol of its own: it sends the
// serial of the client's certificate, then echoes what comes.
type echoMember struct {
	member Member
	ca     *authority
	open   atomic.Int64
	hangup chan struct{} // each value received ends one connection
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

func startEcho(tb testing.TB) *echoMember {
	tb.Helper()
	e := &echoMember{ca: newAuthority(tb, "echo"), hangup: make(chan struct{})}
	ip := freshIP(tb)
	files := e.ca.serverFiles(tb, tb.TempDir(), ip)
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	require.NoError(tb, err)
	pool := x509.NewCertPool()
	pool.AddCert(e.ca.cert)
	l, err := tls.Listen("tcp", ip+":2379", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		NextProtos: []string{alpnH2, alpnHTTP1}, MinVersion: tls.VersionTLS12,
	})
	require.NoError(tb, err)
	tb.Cleanup(func() { l.Close() })
	e.member = Member{Name: "echo-" + ip, ClientURL: "https://" + ip + ":2379"}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go e.serve(c.(*tls.Conn))
		}
	}()
	return e
}

func (e *echoMember) serve(c *tls.Conn) {
	defer c.Close()
	if c.Handshake() != nil {
		return
	}
	st := c.ConnectionState()
	if st.NegotiatedProtocol != alpnHTTP1 {
		return // a health check; it fails, as all do here
	}
	e.open.Add(1)
	defer e.open.Add(-1)
	br := bufio.NewReader(c)
	if _, err := http.ReadRequest(br); err != nil {
		return
	}
	if _, err := io.WriteString(c, switching+st.PeerCertificates[0].SerialNumber.String()+"\n"); err != nil {
		return
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-e.hangup:
			c.NetConn().Close()
		case <-ended:
		}
	}()
	_, _ = io.Copy(c, br)
}

// fakeEtcd answers linearizable reads with an error of the test's choice.
type fakeEtcd struct {
	pb.UnimplementedKVServer
	member Member
	answer atomic.Pointer[func(context.Context) error]
}

func startFakeEtcd(tb testing.TB, name string) *fakeEtcd {
	tb.Helper()
	f := &fakeEtcd{}
	f.set(func(context.Context) error { return nil })
	ip := freshIP(tb)
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", ip+":2379")
	require.NoError(tb, err)
	s := grpc.NewServer()
	pb.RegisterKVServer(s, f)
	go func() { _ = s.Serve(l) }()
	tb.Cleanup(s.Stop)
	f.member = Member{Name: name, ClientURL: "http://" + ip + ":2379"}
	return f
}

func (f *fakeEtcd) set(answer func(context.Context) error) { f.answer.Store(&answer) }

func (f *fakeEtcd) Range(ctx context.Context, _ *pb.RangeRequest) (*pb.RangeResponse, error) {
	if err := (*f.answer.Load())(ctx); err != nil {
		return nil, err
	}
	return &pb.RangeResponse{}, nil
}

// Put always works and returns the fake's own name, so that a test sees where a connection leads,
// whatever the reads return.
func (f *fakeEtcd) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) {
	return &pb.PutResponse{PrevKv: nil, Header: &pb.ResponseHeader{ClusterId: uint64(f.member.Name[0])}}, nil
}
