package etcd_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/credentials"
	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcd"
)

const (
	issued = 1_700_000_000
	now    = issued + 1000
	ends   = issued + 2000
)

func mint(tb testing.TB) credentials.Credentials {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(issued, 0), NotAfter: time.Unix(ends, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(tb, err)
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	cert := text("CERTIFICATE", der)
	return credentials.Credentials{Cert: cert, Key: text("PRIVATE KEY", private), CA: cert}
}

// TestBag shows what is in the bag, key by key, and what is read back from it.
func TestBag(t *testing.T) {
	t.Parallel()
	c := mint(t)
	bag, err := etcd.Encode(etcd.Data{
		ClientURLs: []string{"https://10.0.0.6:2379", "https://10.0.0.5:2379", "https://[fd00::7]:2379", "https://10.0.0.6:2379"},
		Version:    "3.7.3", Credentials: c,
	})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		"connection_string": "https://10.0.0.5:2379,https://10.0.0.6:2379,https://[fd00::7]:2379",
		"version":           "3.7.3", "client_cert": c.Cert, "client_key": c.Key, "client_ca": c.CA,
	}, map[string]string(bag))
	assert.ElementsMatch(t, etcd.Keys(), bag.Keys())

	data, ok, problem := etcd.Decode(databag.Relation{ID: "etcd:1", Units: map[string]databag.Bag{"etcd/1": bag, "etcd/0": {}}}, now)
	require.NoError(t, problem)
	require.True(t, ok)
	assert.Equal(t, etcd.Data{
		ClientURLs: []string{"https://10.0.0.5:2379", "https://10.0.0.6:2379", "https://[fd00::7]:2379"}, Version: "3.7.3", Credentials: c,
	}, data)
	assert.NotContains(t, fmt.Sprintf("%+v %v %#v", data, &data, data), strings.Split(c.Key, "\n")[1])
}

// TestEncodeRefuses: a part is never published, nor what a reader in the field would split or
// misread.
func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	c, other := mint(t), mint(t)
	good := etcd.Data{ClientURLs: []string{"https://10.0.0.5:2379"}, Version: "3.7.3", Credentials: c}
	for want, change := range map[string]func(*etcd.Data){
		"no client URLs":             func(d *etcd.Data) { d.ClientURLs = nil },
		"is not https":               func(d *etcd.Data) { d.ClientURLs = []string{"http://10.0.0.5:2379"} },
		"is not a URL":               func(d *etcd.Data) { d.ClientURLs = []string{"https://10.0.0.5:2379, https://10.0.0.6:2379"} },
		"scheme, host and port":      func(d *etcd.Data) { d.ClientURLs = []string{"https://10.0.0.5:2379/"} },
		"just scheme, host and port": func(d *etcd.Data) { d.ClientURLs = []string{"https://10.0.0.5"} },
		"not a version":              func(d *etcd.Data) { d.Version = "" },
		"version":                    func(d *etcd.Data) { d.Version = "3.7.3\n" },
		"no client credentials":      func(d *etcd.Data) { d.Credentials = credentials.Credentials{} },
		"without client_key":         func(d *etcd.Data) { d.Credentials.Key = "" },
		"does not match its key":     func(d *etcd.Data) { d.Credentials.Key = other.Key },
		"client_ca is not PEM":       func(d *etcd.Data) { d.Credentials.CA = "x" },
		"connection_string: URL 2":   func(d *etcd.Data) { d.ClientURLs = append(d.ClientURLs, "nonsense") },
	} {
		d := good
		change(&d)
		bag, err := etcd.Encode(d)
		require.ErrorContains(t, err, want)
		assert.Nil(t, bag)
	}
}

// TestDecode: one whole bag is enough. What is missing is not a problem; what is broken is one, by
// unit and setting.
func TestDecode(t *testing.T) {
	t.Parallel()
	good, err := etcd.Encode(etcd.Data{ClientURLs: []string{"https://10.0.0.5:2379"}, Version: "3.7.3", Credentials: mint(t)})
	require.NoError(t, err)
	without := func(key, value string) databag.Bag {
		bag := good.Clone()
		bag[key] = value
		return bag
	}
	for name, tt := range map[string]struct {
		units   map[string]databag.Bag
		now     int64
		ok      bool
		problem string
	}{
		"nobody":                {},
		"nothing yet":           {units: map[string]databag.Bag{"etcd/0": {}}},
		"good":                  {units: map[string]databag.Bag{"etcd/0": good}, ok: true},
		"one of two":            {units: map[string]databag.Bag{"etcd/0": without("version", ""), "etcd/1": good}, ok: true},
		"a part":                {units: map[string]databag.Bag{"etcd/0": without("client_key", "")}, problem: "unit etcd/0: cannot use the client credentials: client_ca and client_cert without client_key"},
		"expired":               {units: map[string]databag.Bag{"etcd/0": good}, now: ends + 1, problem: "has expired"},
		"a broken string":       {units: map[string]databag.Bag{"etcd/0": without("connection_string", "10.0.0.5:2379")}, problem: "relation etcd:1: unit etcd/0: connection_string: URL 1 is no"},
		"no version, as of 2.x": {units: map[string]databag.Bag{"etcd/0": without("version", "")}, problem: "version is not a version"},
	} {
		if tt.now == 0 {
			tt.now = now
		}
		_, ok, problem := etcd.Decode(databag.Relation{ID: "etcd:1", Units: tt.units}, tt.now)
		assert.Equal(t, tt.ok, ok, name)
		if tt.problem == "" {
			assert.NoError(t, problem, name)
		} else {
			assert.ErrorContains(t, problem, tt.problem, name)
		}
	}
}
