package etcdproxy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

func TestParseCluster(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want []etcdproxy.Member
	}{
		"one":               {clusterPlain, []etcdproxy.Member{{Name: "etcd0", PeerURL: "http://10.0.0.5:2380"}}},
		"space around":      {" \n" + clusterPlain + "\n", []etcdproxy.Member{{Name: "etcd0", PeerURL: "http://10.0.0.5:2380"}}},
		"sorted by name":    {"b=https://h2:1,a=https://h1:1", []etcdproxy.Member{{Name: "a", PeerURL: "https://h1:1"}, {Name: "b", PeerURL: "https://h2:1"}}},
		"IPv6":              {"a=https://[fd00::5]:2380", []etcdproxy.Member{{Name: "a", PeerURL: "https://[fd00::5]:2380"}}},
		"host name":         {"a=https://juju-1.maas.example.:2380", []etcdproxy.Member{{Name: "a", PeerURL: "https://juju-1.maas.example.:2380"}}},
		"same host, 2 port": {"a=http://h:1,b=http://h:2", []etcdproxy.Member{{Name: "a", PeerURL: "http://h:1"}, {Name: "b", PeerURL: "http://h:2"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			members, err := etcdproxy.ParseCluster(test.text)
			require.NoError(t, err)
			assert.Equal(t, test.want, members)
		})
	}
}

func TestParseClusterRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"":                                      "is empty",
		" \n\t":                                 "is empty",
		",":                                     "piece 1 is empty",
		"a=http://h:1,":                         "piece 2 is empty",
		"a=http://h:1, b=http://g:1":            "piece 2 has a space",
		"a=http://h:1,b =http://g:1":            "piece 2 has a space",
		"a=http://h:1,b\u00a0=http://g:1":       "piece 2 has a space or an unprintable character",
		"a=http://h:1,b\x00=http://g:1":         "piece 2 has a space or an unprintable character",
		"a\xff=http://h:1":                      "piece 1 has a space or an unprintable character",
		"a=http://h:1,b":                        "piece 2 has no URL",
		"a=http://h:1,b=":                       "piece 2 has no URL",
		"=http://h:1":                           "piece 1 has no name",
		"http://h:1":                            "piece 1 has no name",
		"a=10.0.0.5:2380":                       "piece 1 has a URL that is neither http nor https",
		"a=unix://h:1":                          "piece 1 has a URL that is neither http nor https",
		"a=HTTPS://h:1":                         "piece 1 has a URL that is neither http nor https",
		"a=b=http://h:1":                        "piece 1 has a URL that is neither http nor https",
		"a=http://10.0.0.5":                     "piece 1 has a URL without a port",
		"a=http://10.0.0.5:":                    "piece 1 has a URL without a port",
		"a=http://:2380":                        "piece 1 has a URL without a host",
		"a=http://":                             "piece 1 has a URL without a host",
		"a=http://h:0":                          "piece 1 has a URL with a broken port",
		"a=http://h:65536":                      "piece 1 has a URL with a broken port",
		"a=http://h:0080":                       "piece 1 has a URL with a broken port",
		"a=http://h:+80":                        "piece 1 has a URL with a broken port",
		"a=http://h:80/":                        "or with more than scheme, host and port",
		"a=http://h:80?x":                       "or with more than scheme, host and port",
		"a=http://h:80#x":                       "or with more than scheme, host and port",
		"a=http://user@h:80":                    "with more than scheme, host and port",
		"a=http://user:secret@h:80":             "piece 1 has a URL with a bare IPv6 address",
		"a=http://h/x:80":                       "with more than scheme, host and port",
		"a=http://::1:2380":                     "piece 1 has a URL with a bare IPv6 address",
		"a=http://[::1]2380":                    "piece 1 has a URL without a port",
		"a=http://[::1]":                        "piece 1 has a URL without a port",
		"a=http://[::1:2380":                    "piece 1 has a URL with a broken IPv6 address",
		"a=http://[10.0.0.5]:2380":              "piece 1 has a URL with a broken IPv6 address",
		"a=http://[fe80::1%25eth0]:2380":        "whose address means nothing to another machine",
		"a=http://0.0.0.0:2380":                 "whose address means nothing to another machine",
		"a=http://[::]:2380":                    "whose address means nothing to another machine",
		"a=http://10.0.0:2380":                  "or a broken host name",
		"a=http://10.0.0.256:2380":              "or a broken host name",
		"a=http://h..x:2380":                    "or a broken host name",
		"a=http://" + strings.Repeat("h", 254):  "without a port",
		"a=http://h:1,a=http://g:1":             "piece 2 has the name of piece 1",
		"a=http://h:1,b=https://H:1":            "piece 2 has the URL of piece 1",
		"a=http://[::1]:1,b=https://[0:0::1]:1": "piece 2 has the URL of piece 1",
		"a=http://[::ffff:1.2.3.4]:1,b=http://1.2.3.4:1": "piece 2 has the URL of piece 1",
		strings.Repeat("x", 65537):                       "has 65537 bytes, more than the 65536 allowed",
		strings.Repeat(",", 1000):                        "has 1001 pieces, more than the 1000 allowed",
	}
	for text, want := range tests {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			members, err := etcdproxy.ParseCluster(text)
			require.ErrorContains(t, err, want)
			assert.Nil(t, members)
			assert.Contains(t, err.Error(), "cannot parse cluster string: ")
			for _, value := range []string{"10.0.0", "secret", "eth0", "user"} {
				assert.NotContains(t, err.Error(), value, "no part of the text is repeated")
			}
		})
	}
}

func TestParseClusterTakesAThousandMembers(t *testing.T) {
	t.Parallel()
	var pieces []string
	for i := range etcdproxy.MaxMembers {
		pieces = append(pieces, fmt.Sprintf("etcd%d=https://10.1.%d.%d:2380", i, i/250, i%250))
	}
	members, err := etcdproxy.ParseCluster(strings.Join(pieces, ","))
	require.NoError(t, err)
	assert.Len(t, members, etcdproxy.MaxMembers)
}

func TestClusterIsTheSameFromEveryUnit(t *testing.T) {
	t.Parallel()
	a := etcdproxy.Member{Name: "etcd0", PeerURL: "https://10.0.0.5:2380"}
	b := etcdproxy.Member{Name: "etcd1", PeerURL: "https://10.0.0.6:2380"}
	there := etcdproxy.Data{Members: []etcdproxy.Member{b, a}}
	assert.Equal(t, clusterTLS, there.Cluster())
	assert.Equal(t, clusterTLS, etcdproxy.Data{Members: []etcdproxy.Member{a, b}}.Cluster())
	assert.Equal(t, "etcd1", there.Members[0].Name, "rendering does not reorder what it is given")
	assert.Empty(t, etcdproxy.Data{}.Cluster())
}
