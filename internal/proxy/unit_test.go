package proxy

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, head string
		want       protocol
	}{
		{"nothing yet", "", undecided},
		{"part of the preface", "PRI * H", undecided},
		{"one letter, could be either", "P", undecided},
		{"the preface", "PRI * HTTP/2.0", http2},
		{"the preface and more", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00", http2},
		{"GET", "GET / HTTP/1.1\r\n", http1},
		{"PUT", "PU", http1},
		{"a letter", "G", http1},
		{"another PRI", "PRI * HTTP/1.1", http1},
		{"a TLS client", "\x16\x03\x01", alien},
		{"lower case", "get /", alien},
		{"zero", "\x00", alien},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, classify([]byte(tt.head)))
		})
	}
}

// piecemeal is a client whose bytes come in pieces, then an error.
type piecemeal struct {
	net.Conn
	pieces    []string
	deadlines []time.Time
	end       error
}

func (p *piecemeal) SetReadDeadline(d time.Time) error {
	p.deadlines = append(p.deadlines, d)
	return nil
}

func (p *piecemeal) Read(b []byte) (int, error) {
	if len(p.pieces) == 0 {
		return 0, p.end
	}
	n := copy(b, p.pieces[0])
	p.pieces = p.pieces[1:]
	return n, nil
}

func TestSniff(t *testing.T) {
	t.Parallel()
	buf := make([]byte, 64)
	c := &piecemeal{pieces: []string{"P", "RI * HT", "TP/2.0\r\n"}}
	n, p, err := sniff(c, buf)
	require.NoError(t, err)
	assert.Equal(t, http2, p)
	assert.Equal(t, "PRI * HTTP/2.0\r\n", string(buf[:n]))
	require.Len(t, c.deadlines, 2)
	assert.WithinDuration(t, time.Now().Add(sniffTimeout), c.deadlines[0], 5*time.Second, "a silent client is not waited for without end")
	assert.True(t, c.deadlines[1].IsZero(), "a client that has spoken may be silent")

	_, _, err = sniff(&piecemeal{pieces: []string{"PRI"}, end: os.ErrDeadlineExceeded}, buf)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, _, err = sniff(&piecemeal{end: io.EOF}, buf)
	require.ErrorIs(t, err, io.EOF)
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	full := `listen: ["127.0.0.1:2379", "[::1]:2379"]
members:
- {name: etcd0, peer_url: "https://10.0.0.5:2380", client_url: "https://10.0.0.5:2379"}
- {name: etcd1, peer_url: "https://[fd00::1]:2380"}
credentials: {ca: /a, cert: /b, key: /c}
`
	got, err := ParseConfig([]byte(full))
	require.NoError(t, err)
	assert.Equal(t, Config{
		Listen: []string{"127.0.0.1:2379", "[::1]:2379"},
		Members: []Member{
			{Name: "etcd0", PeerURL: "https://10.0.0.5:2380", ClientURL: "https://10.0.0.5:2379"},
			{Name: "etcd1", PeerURL: "https://[fd00::1]:2380"},
		},
		Credentials: Credentials{CA: "/a", Cert: "/b", Key: "/c"},
	}, got)

	tests := []struct{ name, content, want string }{
		{"empty", "", "no listen address"},
		{"unknown key", "listen: ['a:1']\nlisten_on: x", "field listen_on not found"},
		{"two documents", "listen: ['a:1']\n---\nlisten: ['b:1']", "more than one document"},
		{"address without port", "listen: ['a']", "missing port"},
		{"member without URL", "listen: ['a:1']\nmembers: [{name: x}]", "has no URL"},
		{"scheme", "listen: ['a:1']\nmembers: [{name: x, peer_url: 'ftp://a'}]", "neither http nor https"},
		{"no host", "listen: ['a:1']\nmembers: [{name: x, peer_url: 'http://:1'}]", "has no host"},
		{"path", "listen: ['a:1']\nmembers: [{name: x, peer_url: 'http://a/b'}]", "more than scheme"},
		{"half the credentials", "listen: ['a:1']\ncredentials: {ca: a, cert: b}", "need ca, cert and key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseConfig([]byte(tt.content))
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	creds := Credentials{CA: "a", Cert: "b", Key: "c"}
	voter := func(name, peer string, clients ...string) listedMember {
		return listedMember{Name: name, PeerURLs: []string{peer}, ClientURLs: clients}
	}
	learner := voter("l", "https://10.0.0.9:2380", "https://10.0.0.9:2379")
	learner.IsLearner = true
	tests := []struct {
		name    string
		creds   Credentials
		members []Member
		listed  []listedMember
		want    []string
	}{
		{"nobody", creds, nil, nil, nil},
		{"a client URL is used", creds, []Member{{Name: "a", ClientURL: "https://h:1"}}, []listedMember{voter("a", "https://h:2380", "https://h:2")}, []string{"https://h:1"}},
		{"default port", creds, []Member{{ClientURL: "https://h"}}, nil, []string{"https://h:2379"}},
		{"guessed without an answer", creds, []Member{{PeerURL: "https://10.0.0.5:7001"}, {PeerURL: "http://[fd00::1]:2380"}}, nil, []string{"https://10.0.0.5:2379", "http://[fd00::1]:2379"}},
		{"listed by peer URL", creds, []Member{{Name: "other", PeerURL: "https://10.0.0.5:2380"}}, []listedMember{voter("a", "https://10.0.0.5:2380", "https://10.0.0.5:4001")}, []string{"https://10.0.0.5:4001"}},
		{"listed by name", creds, []Member{{Name: "a", PeerURL: "https://host:2380"}}, []listedMember{voter("a", "https://10.0.0.5:2380", "https://10.0.0.5:4001")}, []string{"https://10.0.0.5:4001"}},
		{"learner left out", creds, []Member{{PeerURL: "https://10.0.0.9:2380"}}, []listedMember{learner}, nil},
		{"not started left out", creds, []Member{{PeerURL: "https://10.0.0.5:2380"}}, []listedMember{voter("", "https://10.0.0.5:2380")}, nil},
		{"unclaimed voters stand in for the unknown", creds, []Member{{Name: "x", PeerURL: "https://host:2380"}}, []listedMember{voter("a", "https://10.0.0.5:2380", "https://10.0.0.5:4001"), learner}, []string{"https://host:2379", "https://10.0.0.5:4001"}},
		{"a member the provider dropped is not brought back", creds, []Member{{Name: "a", PeerURL: "https://10.0.0.5:2380"}}, []listedMember{voter("a", "https://10.0.0.5:2380", "https://10.0.0.5:1"), voter("b", "https://10.0.0.6:2380", "https://10.0.0.6:1")}, []string{"https://10.0.0.5:1"}},
		{"scheme of the credentials first", creds, []Member{{Name: "a"}}, []listedMember{voter("a", "https://10.0.0.5:2380", "http://10.0.0.5:1", "https://10.0.0.5:2")}, []string{"https://10.0.0.5:2"}},
		{"no credentials, http first", Credentials{}, []Member{{Name: "a"}}, []listedMember{voter("a", "http://10.0.0.5:2380", "https://10.0.0.5:2", "http://10.0.0.5:1")}, []string{"http://10.0.0.5:1"}},
		{"0.0.0.0 mended", creds, []Member{{Name: "a"}}, []listedMember{voter("a", "https://10.0.0.5:2380", "https://0.0.0.0:1")}, []string{"https://10.0.0.5:1"}},
		{"localhost mended", creds, []Member{{Name: "a"}}, []listedMember{voter("a", "https://10.0.0.5:2380", "https://localhost")}, []string{"https://10.0.0.5:2379"}},
		{"loopback mended", creds, []Member{{Name: "a"}}, []listedMember{voter("a", "https://10.0.0.5:2380", "https://[::1]:1")}, []string{"https://10.0.0.5:1"}},
		{"loopback member stays", creds, []Member{{Name: "a", PeerURL: "https://127.0.0.5:2380"}}, []listedMember{voter("a", "https://127.0.0.5:2380", "https://127.0.0.6:1")}, []string{"https://127.0.0.6:1"}},
		{"a URL with a host before one to mend", creds, []Member{{Name: "a"}}, []listedMember{voter("a", "https://10.0.0.5:2380", "https://127.0.0.1:4001", "https://10.1.0.5:1")}, []string{"https://10.1.0.5:1"}},
		{"the same place once", creds, []Member{{Name: "a", ClientURL: "https://h:1"}, {Name: "b", ClientURL: "https://h:1"}}, nil, []string{"https://h:1"}},
		{"garbage in the list", creds, []Member{{Name: "a"}}, []listedMember{{Name: "a", PeerURLs: []string{"::"}, ClientURLs: []string{"::", "x"}}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, x := range targets(Config{Members: tt.members, Credentials: tt.creds}, tt.listed, learned{}).found {
				got = append(got, x.url)
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestParseCredentials(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "a")
	read := func(p string) []byte {
		data, err := os.ReadFile(p)
		require.NoError(t, err)
		return data
	}
	one, two := a.clientFiles(t, t.TempDir()), a.clientFiles(t, t.TempDir())
	_, err := parseCredentials(read(one.CA), read(one.Cert), read(one.Key))
	require.NoError(t, err)
	_, err = parseCredentials(read(one.CA), read(one.Cert), read(two.Key))
	require.ErrorContains(t, err, "private key does not match")
	_, err = parseCredentials(nil, read(one.Cert), read(one.Key))
	require.ErrorContains(t, err, "no CA certificate")
	got, err := loadCredentials(Credentials{})
	require.NoError(t, err)
	assert.Nil(t, got)
}

func TestConfigOfSchema1(t *testing.T) {
	t.Parallel()
	c, err := ReadConfig("testdata/proxy.schema1.yaml")
	require.NoError(t, err)
	const dir = "/etc/etcd-charm/etcd-proxy-0/tls/"
	assert.Equal(t, Config{
		Listen:      []string{"127.0.242.2:2379"},
		Members:     []Member{{Name: "etcd0", PeerURL: "https://127.0.242.1:2380", ClientURL: "https://127.0.242.1:2379"}},
		Credentials: Credentials{CA: dir + "upstream-ca.crt", Cert: dir + "upstream.crt", Key: dir + "upstream.key"},
	}, c)
}
