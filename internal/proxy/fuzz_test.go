package proxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// FuzzParseConfig: no content panics, and what is accepted survives a round
// trip and yields only dialable targets.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("listen: ['127.0.0.1:2379']\nmembers: [{name: a, peer_url: 'https://h:2380'}]\n"))
	f.Add([]byte("listen: [':1']\ncredentials: {ca: a, cert: b, key: c}\n"))
	f.Add([]byte("&a [*a]"))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		out, err := yaml.Marshal(c)
		require.NoError(t, err)
		again, err := ParseConfig(out)
		require.NoError(t, err)
		require.Len(t, again.Members, len(c.Members))
		checkTargets(t, targets(c, nil, learned{}).found)
	})
}

// FuzzDecodeMembers: no answer of a member panics, or yields a target that
// cannot be dialled or that is a learner's.
func FuzzDecodeMembers(f *testing.F) {
	f.Add([]byte(`[{"id":1,"peerURLs":["https://10.0.0.5:2380"],"name":"a","clientURLs":["https://10.0.0.5:2379"]}]`), "https://10.0.0.5:2380")
	f.Add([]byte(`[{"peerURLs":["https://10.0.0.5:2380"],"isLearner":true,"clientURLs":["https://0.0.0.0"]}]`), "http://x")
	f.Add([]byte(`[{"peerURLs":["::"],"clientURLs":["https://[::]:1"]}]`), "")
	f.Add([]byte(`[null]`), "a")
	f.Add([]byte(`{}`), "a")
	f.Fuzz(func(t *testing.T, body []byte, peer string) {
		ms, err := decodeMembers(body)
		if err != nil {
			return
		}
		require.NotEmpty(t, ms)
		checkTargets(t, targets(Config{Members: []Member{{Name: "a", PeerURL: peer}}}, ms, learned{}).found)
		for _, m := range ms {
			tt, ok := listedTarget(m, true)
			require.False(t, ok && m.IsLearner)
			if ok {
				checkTargets(t, []target{tt})
			}
		}
	})
}

func checkTargets(t *testing.T, ts []target) {
	t.Helper()
	for _, x := range ts {
		host, port, err := net.SplitHostPort(x.addr)
		require.NoError(t, err)
		require.NotEmpty(t, host)
		require.NotEmpty(t, port)
		u, err := url.Parse(x.url)
		if strings.ContainsAny(host, "%") {
			continue // IPv6 zones are escaped in URLs; url is only for logs then
		}
		require.NoError(t, err)
		require.Equal(t, x.tls, u.Scheme == "https")
	}
}

// FuzzClassify: the answer for more bytes never contradicts that for fewer.
func FuzzClassify(f *testing.F) {
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	f.Add([]byte("POST /v3/kv/range HTTP/1.1\r\n"))
	f.Add([]byte{0x16, 3, 1})
	f.Fuzz(func(t *testing.T, head []byte) {
		last := undecided
		for i := range len(head) + 1 {
			p := classify(head[:i])
			if last != undecided {
				require.Equal(t, last, p)
			}
			last = p
		}
		require.False(t, len(head) >= len(http2Preface) && last == undecided, "the question is always settled")
	})
}

// FuzzParseCredentials: no content of the three files panics.
func FuzzParseCredentials(f *testing.F) {
	a := newAuthority(f, "a")
	f.Add(a.pem, a.pem, []byte("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, ca, cert, key []byte) {
		c, err := parseCredentials(ca, cert, key)
		require.Equal(t, err == nil, c != nil)
	})
}

// TestListMembersIsBounded: neither a huge answer, nor a redirect, nor an error
// page is taken for a list.
func TestListMembersIsBounded(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"too large", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "["+strings.Repeat(" ", maxListBytes))
		}, "larger than"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, "302"},
		{"error page", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "[]", http.StatusForbidden) }, "403"},
		{"no list", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "cannot decode"},
		{"empty list", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") }, "it is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(tt.handler)
			defer s.Close()
			_, err := discover(t.Context(), Config{Members: []Member{{PeerURL: s.URL}}}, nil)
			require.ErrorContains(t, err, tt.want)
		})
	}
}
