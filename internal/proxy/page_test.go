package proxy

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestForbidden(t *testing.T) {
	t.Parallel()
	local := &net.TCPAddr{IP: net.ParseIP("10.0.0.7"), Port: 2379}
	listen := []string{"etcd.internal:2379", "0.0.0.0:2379", ":4001"}
	head := func(kv ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Add(kv[i], kv[i+1])
		}
		return h
	}
	tests := []struct {
		name, host string
		header     http.Header
		want       string
	}{
		{"loopback", "127.0.0.1:2379", nil, ""},
		{"no port", "127.0.0.1", nil, ""},
		{"another port", "127.0.0.1:1", nil, ""},
		{"another loopback address", "127.8.9.1:2379", nil, ""},
		{"IPv6", "[::1]:2379", nil, ""},
		{"IPv6 without a port", "[::1]", nil, ""},
		{"IPv4 in IPv6", "[::ffff:127.0.0.1]:80", nil, ""},
		{"localhost", "localhost:2379", nil, ""},
		{"case and dot", "LocalHost.:2379", nil, ""},
		{"the address that the client came to", "10.0.0.7:2379", nil, ""},
		{"the name that is listened on", "ETCD.internal", nil, ""},
		{"an address bar", "localhost", head("Sec-Fetch-Site", "none"), ""},
		{"the reload of it", "localhost", head("Sec-Fetch-Site", "same-origin"), ""},
		{"node's fetch", "localhost", head("Sec-Fetch-Mode", "cors"), ""},

		{"a name", "rebind.example:2379", nil, refusedHost},
		{"a name below localhost", "a.localhost", nil, refusedHost},
		{"a name that begins so", "localhost.example", nil, refusedHost},
		{"an address that begins so", "127.0.0.1.example", nil, refusedHost},
		{"another address", "10.0.0.8:2379", nil, refusedHost},
		{"an address in other digits", "127.1", nil, refusedHost},
		{"no name", "", nil, refusedHost},
		{"a port", ":2379", nil, refusedHost},
		{"a user", "localhost@example", nil, refusedHost},
		{"two names", "localhost,example", nil, refusedHost},
		{"an origin", "localhost", head("Origin", "http://localhost"), refusedOrigin},
		{"an empty origin", "localhost", head("Origin", ""), refusedOrigin},
		{"another site", "localhost", head("Sec-Fetch-Site", "cross-site"), refusedSite},
		{"another port of this machine", "localhost", head("Sec-Fetch-Site", "same-site"), refusedSite},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{Host: tt.host, Header: tt.header, ProtoMajor: 1, ProtoMinor: 1}
			assert.Equal(t, tt.want, forbidden(r, local, listen))
		})
	}
	assert.Empty(t, forbidden(&http.Request{ProtoMajor: 1}, local, listen), "HTTP/1.0 needs no host")
	assert.Equal(t, refusedHost, forbidden(&http.Request{ProtoMajor: 1, Host: "rebind.example"}, local, listen))
}

func TestRarely(t *testing.T) {
	t.Parallel()
	var r rarely
	t0 := time.Now()
	say := func(after time.Duration) [2]any {
		now, silent := r.say(t0.Add(after))
		return [2]any{now, silent}
	}
	assert.Equal(t, [2]any{true, 0}, say(0))
	assert.Equal(t, [2]any{false, 0}, say(1))
	assert.Equal(t, [2]any{false, 0}, say(silence-1))
	assert.Equal(t, [2]any{true, 2}, say(silence))
	assert.Equal(t, [2]any{false, 0}, say(silence+1))
}
