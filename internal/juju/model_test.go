package juju

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

func TestObserveAuthority(t *testing.T) {
	t.Parallel()
	other := map[string]secret{"xyz": {"other", nil}}
	for name, test := range map[string]struct {
		change  func(*fakeJuju)
		without bool // Juju keeps no secrets
		want    string
	}{
		"in the secret":            {func(*fakeJuju) {}, false, "made"},
		"on a unit that follows":   {func(f *fakeJuju) { f.leader = false }, false, "made"},
		"missing, no secrets":      {func(f *fakeJuju) { f.secrets = nil }, false, "missing"},
		"missing, other secrets":   {func(f *fakeJuju) { f.secrets = other }, false, "missing"},
		"missing for a follower":   {func(f *fakeJuju) { f.secrets, f.leader = nil, false }, false, "waiting for the leader"},
		"missing, leader unknown":  {func(f *fakeJuju) { f.secrets, f.fail["is-leader"] = nil, errors.New("gone") }, false, "not found"},
		"missing, but on record":   {func(f *fakeJuju) { f.secrets, f.app = nil, databag.Bag{"schema": "2", "authority": "f00"} }, false, "relation names"},
		"missing, record unread":   {func(f *fakeJuju) { f.secrets, f.ids["cluster"] = nil, nil }, false, "not visible"},
		"there, but not readable":  {func(f *fakeJuju) { f.fail["secret-get"] = refusal("secret-get", "ERROR permission denied") }, false, "cannot be read"},
		"secrets cannot be listed": {func(f *fakeJuju) { f.secrets, f.fail["secret-ids"] = nil, errors.New("gone") }, false, "gone"},
		"secrets cannot be told apart": {func(f *fakeJuju) {
			f.secrets, f.fail["secret-info-get"] = other, refusal("secret-info-get", "ERROR secret \"xyz\" not found")
		}, false, "not found"},
		"a secret without description": {func(f *fakeJuju) { f.secrets, f.says["secret-info-get"] = other, "{}" }, false, "answered nothing"},
		"an empty secret":              {func(f *fakeJuju) { f.says["secret-get"] = "{}" }, false, "cannot be read"},
		"broken content":               {func(f *fakeJuju) { f.says["secret-get"] = `{"peer-ca-key": ""}` }, false, "peer-ca-cert is empty"},
		"2.9: in the bag":              {func(f *fakeJuju) { f.app = etcdcluster.EncodeAuthority(authority().Encode()) }, true, "made"},
		"2.9: missing":                 {func(*fakeJuju) {}, true, "missing"},
		"2.9: missing for a follower":  {func(f *fakeJuju) { f.leader = false }, true, "waiting for the leader"},
		"2.9: bag unread":              {func(f *fakeJuju) { f.fail["relation-get"] = errors.New("gone") }, true, "gone"},
		"2.9: relation not visible":    {func(f *fakeJuju) { f.ids["cluster"] = nil }, true, "not visible"},
		"upgraded from 2.9": {func(f *fakeJuju) {
			f.secrets, f.app = nil, etcdcluster.EncodeAuthority(authority().Encode())
		}, false, "made"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			test.change(f)
			got := observe(t, f, func(e *Env) { e.Secrets = !test.without }).Authority
			switch test.want {
			case "made":
				require.True(t, got.OK, got.Why)
				assert.Equal(t, authority().Encode(), got.Value.Encode())
			case "missing":
				assert.Equal(t, operator.Know[*pki.Authority](nil), got)
			default:
				assert.False(t, got.OK)
				assert.Contains(t, got.Why, test.want)
			}
			if test.without {
				assert.Zero(t, f.count()["secret-get"])
			}
		})
	}
}

func TestObserveAddress(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer   string
		hostname string
		want     operator.Address
	}{
		"one address, Juju 2.9's spelling": {
			`{"bind-addresses":[{"interface-name":"eth0","addresses":[{"hostname":"","value":"10.0.0.5"}]}],"ingress-addresses":["10.0.0.5"]}`, "",
			operator.Address{Ingress: "10.0.0.5", Bound: "10.0.0.5", All: []string{"10.0.0.5"}},
		},
		"many, both spellings, a name": {
			`{"bind-addresses":[{"addresses":[{"hostname":"B.example.","value":"10.0.0.9","address":"10.0.0.9"}]},
			  {"addresses":[{"address":"fd00:0::5"},{"address":"10.0.0.5"}]}],"ingress-addresses":["10.0.0.5","10.0.0.6"]}`, "Juju-1",
			operator.Address{Ingress: "10.0.0.5", Bound: "10.0.0.9", All: []string{"10.0.0.5", "10.0.0.6", "10.0.0.9", "b.example", "fd00::5", "juju-1"}},
		},
		"a floating address is not among our own": {
			`{"bind-addresses":[{"addresses":[{"value":"10.0.0.5"}]}],"ingress-addresses":["192.0.2.1"]}`, "",
			operator.Address{Ingress: "192.0.2.1", Bound: "10.0.0.5", All: []string{"10.0.0.5"}},
		},
		"link-local and zones count on one link only": {
			`{"bind-addresses":[{"addresses":[{"value":"fe80::1"},{"value":"fe80::1%eth0"},{"value":"fd00::1%eth0"},{"value":"169.254.1.1"},{"value":"::"},{"value":"fd00::5"}]}],
			  "ingress-addresses":["fe80::1","fd00::5"]}`, "",
			operator.Address{Ingress: "fd00::5", Bound: "fd00::5", All: []string{"fd00::5"}},
		},
		"no ingress": {
			`{"bind-addresses":[{"addresses":[{"hostname":"a.example","value":"10.0.0.5"}]}]}`, "",
			operator.Address{Ingress: "10.0.0.5", Bound: "10.0.0.5", All: []string{"10.0.0.5", "a.example"}},
		},
		"ingress by name": {`{"ingress-addresses":["etcd.example"]}`, "", operator.Address{Ingress: "etcd.example"}},
		"a machine's name with an underscore": {
			`{"bind-addresses":[{"addresses":[{"value":"10.0.0.5"}]}]}`, "my_machine",
			operator.Address{Ingress: "10.0.0.5", Bound: "10.0.0.5", All: []string{"10.0.0.5", "my_machine"}},
		},
		"a machine's name that no certificate can bear": {
			`{"bind-addresses":[{"addresses":[{"value":"10.0.0.5"}]}]}`, "my machine",
			operator.Address{Ingress: "10.0.0.5", Bound: "10.0.0.5", All: []string{"10.0.0.5"}},
		},
		"loopback, as on one machine for many": {network("127.0.1.5"), "", operator.Address{Ingress: "127.0.1.5", Bound: "127.0.1.5", All: []string{"127.0.1.5"}}},
		"nothing":                              {`{}`, "host", operator.Address{}},
		"null":                                 {`null`, "host", operator.Address{}},
		"link-local alone":                     {network("fe80::1"), "host", operator.Address{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.network["cluster"] = test.answer
			got := observe(t, f, func(e *Env) { e.Hostname = test.hostname }).PeerAddress
			assert.Equal(t, test.want.Ingress != "", got.OK)
			assert.Equal(t, test.want, got.Value)
			assert.Equal(t, !got.OK, got.Why != "")
		})
	}
}

// A zone is written into a bag that every unit must be able to read.
func TestObserveZone(t *testing.T) {
	t.Parallel()
	for zone, want := range map[string]string{
		"eu-west-1a": "eu-west-1a", "": "", "rack 4": "rack 4", "a\nb": "", "\xff": "", strings.Repeat("z", 101): "",
	} {
		m, err := Observe(t.Context(), newFake(), Env{Unit: "etcd/0", Zone: zone}, nil)
		require.NoError(t, err)
		assert.Equal(t, want, m.Zone)
	}
}
