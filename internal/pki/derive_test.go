package pki_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

// Every unit derives every consumer's certificate, perhaps with binaries built by
// different Go versions during an upgrade. If one of these values changes, a
// consumer's databag would differ from unit to unit and revoked certificates
// would leave the CRL: find out what changed in Go (RFC 6979 in crypto/ecdsa, the
// encodings of crypto/x509) before touching them.
func TestDerivedBytesAreForEver(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	require.Equal(t, "0730bdb300d0", a.Client.Fingerprint(), "the CA itself has changed")

	for _, test := range []struct {
		relation          string
		generation        int
		serial, key, cert string
	}{
		{
			"proxy:7", 1, "5af281ea00cd45a5cf3d45fed5a3de99",
			"430ee1664f7cff0de6d5ed79744795dfefa6ea746340b0295e035191d3808523",
			"9979fce8099438a548b51dc39df250dc2ea242014c0d209f0b7f3247ee1e6804",
		},
		{
			"proxy:7", 2, "7822ae5d8f7221fc9b041548f9a3548e",
			"298feac014ff48fafe06b98efe749d4dea8959168a6f7fd197db37ee932a1fc4",
			"cd0547b4e31cd0c60b44f47294a1a111a0f78ec07746f86e7671e1228454365b",
		},
		{
			"db:12", 1, "72bfd11ae55095967596f3632c7da9f6",
			"02317d0907bc845ae623e07204fd94a3b5ef2951e47ff8630d1902d56010889c",
			"5c46fa5f65be6676c90de303ffec3c3a1b865987a79c9dfe232124332cc0ebda",
		},
	} {
		given, err := a.Credentials(modelUUID, test.relation, test.generation, 230)
		require.NoError(t, err)
		cert := parse(t, []byte(given.Cert))
		assert.Equal(t, test.serial, cert.SerialNumber.Text(16))
		assert.Equal(t, test.key, hash([]byte(given.Key)))
		assert.Equal(t, test.cert, hash(cert.Raw))
	}
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	period := pki.PeriodOf(epoch)
	given, err := a.Credentials(modelUUID, "proxy:7", 1, period)
	require.NoError(t, err)

	cert := parse(t, []byte(given.Cert))
	assert.Equal(t, "CN=proxy:7,O=etcd-charm", cert.Subject.String(), "the user that etcd takes it for")
	assert.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, cert.ExtKeyUsage)
	start := time.Unix(period*90*24*3600, 0).UTC()
	assert.Equal(t, start.Add(-90*day), cert.NotBefore)
	assert.Equal(t, start.Add(365*day), cert.NotAfter)
	assert.Equal(t, string(a.TrustClient), given.CA)

	info, err := pki.Describe([]byte(given.Cert), []byte(given.Key), []byte(given.CA), epoch)
	require.NoError(t, err)
	assert.Empty(t, info.SANs)
	assert.True(t, info.KeyMatches)
	assert.True(t, info.Trusted)
	require.NoError(t, given.Check(epoch.Unix()))

	again, err := a.Credentials(modelUUID, "proxy:7", 1, period)
	require.NoError(t, err)
	assert.Equal(t, given, again)
	decoded, err := pki.DecodeAuthority(a.Encode())
	require.NoError(t, err)
	elsewhere, err := decoded.Credentials(modelUUID, "proxy:7", 1, period)
	require.NoError(t, err)
	assert.Equal(t, given, elsewhere, "another unit")
}

// A hook is one process, but two goroutines of it may ask for the same credentials.
func TestCredentialsAtOnce(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	want, err := authority(t, 1).Credentials(modelUUID, "proxy:7", 1, 230)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := a.Credentials(modelUUID, "proxy:7", 1, 230)
			assert.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
	wg.Wait()
}

func TestDerivationsDiffer(t *testing.T) {
	t.Parallel()
	a, b := authority(t, 1), authority(t, 2)
	seen := map[string]string{}
	for _, in := range []struct {
		authority       *pki.Authority
		model, relation string
		generation      int
		period          int64
	}{
		{a, "m", "proxy:1", 1, 230},
		{a, "m", "proxy:11", 1, 230},
		{a, "m", "db:1", 1, 230},
		{a, "m", "proxy:1", 2, 230},
		{a, "m1", "proxy:1", 1, 230},
		{a, "m", "proxy:1", 1, 231},
		{a, "n", "proxy:1", 1, 230},
		{b, "m", "proxy:1", 1, 230},
	} {
		given, err := in.authority.Credentials(in.model, in.relation, in.generation, in.period)
		require.NoError(t, err)
		what := fmt.Sprintf("%s %s %s.%d %d", in.authority.Fingerprint(), in.model, in.relation, in.generation, in.period)
		for _, value := range []string{given.Key, parse(t, []byte(given.Cert)).SerialNumber.String()} {
			assert.Empty(t, seen[value], what)
			seen[value] = what
		}
	}
}

func TestCredentialsEndWithTheAuthority(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	ca := parse(t, a.Client.CertPEM)
	last := pki.PeriodOf(ca.NotAfter)
	given, err := a.Credentials(modelUUID, "proxy:7", 1, last)
	require.NoError(t, err)
	assert.Equal(t, ca.NotAfter, parse(t, []byte(given.Cert)).NotAfter)
	_, err = a.Credentials(modelUUID, "proxy:7", 1, last+1)
	require.EqualError(t, err, fmt.Sprintf("cannot derive client certificate: CA ends before period %d", last+1))
}

func TestDeriveErrors(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	const noID = "relation ID is not that of an endpoint"
	tests := []struct {
		name            string
		ca              pki.CA
		model, relation string
		generation      int
		period          int64
		want            string
	}{
		{"no CA", pki.CA{}, "m", "proxy:1", 1, 1, "CA certificate is empty"},
		{"no key", pki.CA{CertPEM: a.Client.CertPEM}, "m", "proxy:1", 1, 1, "there is no private key"},
		{"no model", a.Client, "", "proxy:1", 1, 1, "model UUID is empty"},
		{"no relation", a.Client, "m", "", 1, 1, noID},
		{"a number alone", a.Client, "m", "1", 1, 1, noID},
		{"no endpoint", a.Client, "m", ":1", 1, 1, noID},
		{"no number", a.Client, "m", "proxy:x", 1, 1, noID},
		{"a negative number", a.Client, "m", "proxy:-1", 1, 1, noID},
		{"another spelling", a.Client, "m", "proxy:01", 1, 1, noID},
		{"two endpoints", a.Client, "m", "proxy:db:1", 1, 1, noID},
		{"root", a.Client, "m", "root", 1, 1, noID},
		{"too long for a name", a.Client, "m", strings.Repeat("p", 63) + ":1", 1, 1, noID},
		{"generation 0", a.Client, "m", "proxy:1", 0, 1, "generation 0 is out of range"},
		{"before 1970", a.Client, "m", "proxy:1", 1, -1, "period -1 is out of range"},
		{"far future", a.Client, "m", "proxy:1", 1, 1 << 60, "is out of range"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := (&pki.Authority{Client: test.ca}).Credentials(test.model, test.relation, test.generation, test.period)
			require.ErrorContains(t, err, test.want)
			if len(test.ca.CertPEM) > 0 {
				_, err = pki.SerialsOf(test.ca, test.model, test.relation, test.generation, test.period)
				require.ErrorContains(t, err, test.want)
			}
		})
	}
}

func TestPeriodOf(t *testing.T) {
	t.Parallel()
	const length = 90 * 24 * 3600
	for seconds, want := range map[int64]int64{0: 0, length - 1: 0, length: 1, -1: -1, -length: -1, -length - 1: -2, 230 * length: 230} {
		assert.Equal(t, want, pki.PeriodOf(time.Unix(seconds, 0)), seconds)
	}
}

func TestSerialsOfNamesEveryLiveCertificate(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	const ended = 235
	serials, err := pki.SerialsOf(a.Client, modelUUID, "proxy:7", 1, ended)
	require.NoError(t, err)
	revoked := map[string]bool{}
	for _, serial := range serials {
		revoked[serial.String()] = true
	}
	require.Len(t, revoked, 6)

	first, end := time.Unix(ended*90*86400, 0), time.Unix((ended+1)*90*86400, 0)
	for period := int64(ended - 8); period <= ended+8; period++ {
		given, err := a.Credentials(modelUUID, "proxy:7", 1, period)
		require.NoError(t, err)
		cert := parse(t, []byte(given.Cert))
		serial := cert.SerialNumber
		if cert.NotAfter.After(first) && cert.NotBefore.Before(end) {
			assert.True(t, revoked[serial.String()], "period %d is valid in period %d", period, ended)
		}
		if revoked[serial.String()] {
			// internal/operator keeps it on the list for so long (keptPeriods).
			assert.LessOrEqual(t, pki.PeriodOf(cert.NotAfter), int64(ended+5), "period %d is needed on the CRL to its end", period)
		}
	}
	young, err := pki.SerialsOf(a.Client, modelUUID, "proxy:7", 1, 1)
	require.NoError(t, err)
	assert.Len(t, young, 3)
}

func BenchmarkCredentials(b *testing.B) {
	b.Run("derived", func(b *testing.B) {
		a := authority(b, 1)
		for i := 0; b.Loop(); i++ {
			_, err := a.Credentials(modelUUID, fmt.Sprintf("proxy:%d", i), 1, 230)
			require.NoError(b, err)
		}
	})
	b.Run("remembered", func(b *testing.B) {
		a := authority(b, 1)
		for b.Loop() {
			_, err := a.Credentials(modelUUID, "proxy:7", 1, 230)
			require.NoError(b, err)
		}
	})
}

func BenchmarkSerialsOf(b *testing.B) {
	a := authority(b, 1)
	for b.Loop() {
		_, err := pki.SerialsOf(a.Client, modelUUID, "proxy:7", 1, 230)
		require.NoError(b, err)
	}
}
