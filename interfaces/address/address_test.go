package address_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/juju-charms/etcd-charm/interfaces/address"
)

func TestKinds(t *testing.T) {
	t.Parallel()
	machine := address.Judge{Listens: []string{"127.0.0.1:2379"}, Near: []string{"10.0.0.7"}}
	sim := address.Judge{Listens: []string{"127.3.0.4:2379"}, Near: []string{"127.3.0.4"}}
	linked := address.Judge{Near: []string{"169.254.3.4", "fe80::7"}}
	wild := address.Judge{Listens: []string{"0.0.0.0:2379", "[::]:4001", ":5001"}, Near: []string{"10.0.0.7", "127.0.0.1"}}
	for _, test := range []struct {
		judge address.Judge
		place string
		want  address.Kind
	}{
		{machine, "10.0.0.8:2379", address.Fit},
		{machine, "[fd00::8]:2379", address.Fit},
		{machine, "etcd-1.example.:2379", address.Fit},
		{machine, "my_host:2379", address.Fit},
		{machine, "127.0.0.1:2379", address.Own},
		{machine, "[::ffff:127.0.0.1]:2379", address.Own},
		{machine, "localhost:2379", address.Own},
		{machine, "LOCALHOST.:2379", address.Own},
		{machine, "0.0.0.0:2379", address.Own},
		{machine, "[::]:2379", address.Own},
		{machine, "127.0.0.1:2380", address.Loopback},
		{machine, "127.9.9.9:2379", address.Loopback},
		{machine, "[::1]:2380", address.Loopback},
		{machine, "[::ffff:127.0.0.2]:2379", address.Loopback},
		{machine, "[::1%lo]:2380", address.Loopback},
		{machine, "localhost:1", address.Loopback},
		{machine, "a.localhost:1", address.Loopback},
		{machine, "ip6-loopback:1", address.Loopback},
		{machine, "0.0.0.0:1", address.Unspecified},
		{machine, "0.1.2.3:1", address.Unspecified},
		{machine, "[::]:1", address.Unspecified},
		{machine, "[::ffff:0.0.0.0]:1", address.Unspecified},
		{machine, "169.254.169.254:80", address.LinkLocal},
		{machine, "[fe80::1]:2379", address.LinkLocal},
		{machine, "[fe80::1%eth0]:2379", address.Zoned},
		{machine, "[fd00::1%eth0]:2379", address.Zoned},
		{machine, "224.0.0.1:2379", address.Multicast},
		{machine, "[ff02::1]:2379", address.Multicast},
		{machine, "[ff02::1%eth0]:2379", address.Multicast},
		{machine, "255.255.255.255:2379", address.Multicast},
		{machine, "127.1:2379", address.Malformed},
		{machine, "2130706433:2379", address.Malformed},
		{machine, "0x7f000001:2379", address.Malformed},
		{machine, "0177.0.0.1:2379", address.Malformed},
		{machine, ":2379", address.Malformed},
		{machine, "a b:2379", address.Malformed},
		{machine, "10.0.0.8", address.Malformed},

		{sim, "127.3.0.5:2379", address.Fit},
		{sim, "127.3.0.4:2380", address.Fit},
		{sim, "127.3.0.4:2379", address.Own},
		{sim, "[::ffff:127.3.0.4]:2379", address.Own},
		{sim, "169.254.1.1:2379", address.LinkLocal},
		{sim, "0.0.0.0:1", address.Unspecified},

		{linked, "169.254.1.1:2379", address.Fit},
		{linked, "[fe80::1]:2379", address.Fit},
		{linked, "[fe80::1%eth0]:2379", address.Zoned},
		{linked, "127.0.0.1:2379", address.Loopback},

		{wild, "10.0.0.7:2380", address.Fit},
		{wild, "127.8.8.8:4001", address.Own},
		{wild, "localhost:5001", address.Own},
		{wild, "10.0.0.8:2379", address.Fit},

		{address.Judge{}, "127.0.0.1:1", address.Loopback},
		{address.Judge{Listens: []string{"@socket", ""}}, "10.0.0.1:1", address.Fit},
	} {
		assert.Equal(t, test.want, test.judge.HostPort(test.place), "%+v: %s", test.judge, test.place)
	}
}

// TestLeads: the machine's own name may stand for a loopback address, and for nothing else that is
// not to be dialled.
func TestLeads(t *testing.T) {
	t.Parallel()
	judge := address.Judge{Listens: []string{"127.0.0.1:2379"}, Names: []string{"Node1", ""}}
	for _, test := range []struct {
		host, place string
		want        address.Kind
	}{
		{"node1", "127.0.1.1:2379", address.Fit},
		{"node1.example.", "127.0.1.1:2379", address.Fit},
		{"node1", "10.0.0.7:2379", address.Fit},
		{"node1", "127.0.0.1:2379", address.Own},
		{"node1", "169.254.1.1:2379", address.LinkLocal},
		{"node10", "127.0.1.1:2379", address.Loopback},
		{"localhost", "127.0.1.1:2379", address.Loopback},
		{"127.0.1.1", "127.0.1.1:2379", address.Loopback},
	} {
		assert.Equal(t, test.want, judge.Leads(test.host, test.place), "%s: %s", test.host, test.place)
	}
	assert.Equal(t, address.Loopback, address.Judge{Names: []string{""}}.Leads("node1", "127.0.1.1:1"))
}

func TestURL(t *testing.T) {
	t.Parallel()
	judge := address.Judge{Listens: []string{"127.0.0.1:2379"}}
	for text, want := range map[string]address.Kind{
		"https://10.0.0.8:2379": address.Fit, "https://10.0.0.8": address.Fit, "http://[fd00::1]:1": address.Fit,
		"http://127.0.0.1:2379": address.Own, "http://[::1]:2379": address.Loopback, "http://localhost": address.Loopback,
		"http://[fe80::1%25eth0]:1": address.Zoned, "": address.Malformed, "10.0.0.8:2379": address.Malformed,
		"http://": address.Malformed, "http://[::1": address.Malformed, "\x00": address.Malformed,
	} {
		assert.Equal(t, want, judge.URL(text), "%q", text)
	}
}
