package pki_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
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

	credentials, serial, err := pki.DeriveClient(a.Client, a.TrustClient, modelUUID, "proxy:7", 230)
	require.NoError(t, err)
	assert.Equal(t, "715e733542815dd12a6bc4212d6bd326", serial.Text(16))
	assert.Equal(t, "fa92a983b096736ebdc8968a1d8047721b1b95f26f5c7e7a4198fa12f94a443d", hash(credentials.Key.PEM()))
	assert.Equal(t, "02dd36f925c3e509fb51ad26c6c9ca9f9a3b506d03feafd1b772a7bbbdaa9ba6", hash(parse(t, credentials.CertPEM).Raw))
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func TestDeriveClient(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	period := pki.PeriodOf(epoch)
	credentials, serial, err := pki.DeriveClient(a.Client, a.TrustClient, modelUUID, "proxy:7", period)
	require.NoError(t, err)

	cert := parse(t, credentials.CertPEM)
	assert.Equal(t, "OU=7,O=etcd-charm", cert.Subject.String())
	assert.Empty(t, cert.Subject.CommonName)
	assert.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, cert.ExtKeyUsage)
	start := time.Unix(period*90*24*3600, 0).UTC()
	assert.Equal(t, start.Add(-90*day), cert.NotBefore)
	assert.Equal(t, start.Add(365*day), cert.NotAfter)
	assert.Equal(t, serial, cert.SerialNumber)
	assert.Equal(t, a.TrustClient, credentials.CAPEM)

	info, err := pki.Describe(credentials.CertPEM, credentials.Key.PEM(), credentials.CAPEM, epoch)
	require.NoError(t, err)
	assert.Empty(t, info.SANs)
	assert.True(t, info.KeyMatches)
	assert.True(t, info.Trusted)

	decoded, err := pki.DecodeAuthority(a.Encode())
	require.NoError(t, err)
	elsewhere, _, err := pki.DeriveClient(decoded.Client, decoded.TrustClient, modelUUID, "7", period)
	require.NoError(t, err)
	assert.Equal(t, string(credentials.CertPEM), string(elsewhere.CertPEM), "another unit, another spelling of the relation")
	assert.Equal(t, string(credentials.Key.PEM()), string(elsewhere.Key.PEM()))
}

func TestDerivationsDiffer(t *testing.T) {
	t.Parallel()
	a, b := authority(t, 1), authority(t, 2)
	seen := map[string]string{}
	for _, in := range []struct {
		ca              pki.CA
		model, relation string
		period          int64
	}{
		{a.Client, "m", "1", 230},
		{a.Client, "m", "11", 230},
		{a.Client, "m1", "1", 230},
		{a.Client, "m", "1", 231},
		{a.Client, "n", "1", 230},
		{b.Client, "m", "1", 230},
		{a.Peer, "m", "1", 230},
	} {
		credentials, serial, err := pki.DeriveClient(in.ca, nil, in.model, in.relation, in.period)
		require.NoError(t, err)
		what := fmt.Sprintf("%s %s %s %d", in.ca.Fingerprint(), in.model, in.relation, in.period)
		for _, value := range []string{string(credentials.Key.PEM()), serial.String()} {
			assert.Empty(t, seen[value], what)
			seen[value] = what
		}
	}
}

func TestDeriveClientEndsWithTheAuthority(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	ca := parse(t, a.Client.CertPEM)
	last := pki.PeriodOf(ca.NotAfter)
	credentials, _, err := pki.DeriveClient(a.Client, nil, modelUUID, "7", last)
	require.NoError(t, err)
	assert.Equal(t, ca.NotAfter, parse(t, credentials.CertPEM).NotAfter)
	_, _, err = pki.DeriveClient(a.Client, nil, modelUUID, "7", last+1)
	require.EqualError(t, err, fmt.Sprintf("cannot derive client certificate: CA ends before period %d", last+1))
}

func TestDeriveErrors(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	tests := []struct {
		name            string
		ca              pki.CA
		model, relation string
		period          int64
		want            string
	}{
		{"no CA", pki.CA{}, "m", "1", 1, "CA certificate is empty"},
		{"no key", pki.CA{CertPEM: a.Client.CertPEM}, "m", "1", 1, "there is no private key"},
		{"no model", a.Client, "", "1", 1, "model UUID is empty"},
		{"no relation", a.Client, "m", "", 1, "relation ID does not end in a number"},
		{"bad relation", a.Client, "m", "proxy:x", 1, "relation ID does not end in a number"},
		{"negative relation", a.Client, "m", "-1", 1, "relation ID does not end in a number"},
		{"before 1970", a.Client, "m", "1", -1, "period -1 is out of range"},
		{"far future", a.Client, "m", "1", 1 << 60, "is out of range"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := pki.DeriveClient(test.ca, nil, test.model, test.relation, test.period)
			require.ErrorContains(t, err, test.want)
			if len(test.ca.CertPEM) > 0 {
				_, err = pki.SerialsOf(test.ca, test.model, test.relation, test.period)
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
	serials, err := pki.SerialsOf(a.Client, modelUUID, "7", ended)
	require.NoError(t, err)
	revoked := map[string]bool{}
	for _, serial := range serials {
		revoked[serial.String()] = true
	}
	require.Len(t, revoked, 6)

	first, end := time.Unix(ended*90*86400, 0), time.Unix((ended+1)*90*86400, 0)
	for period := int64(ended - 8); period <= ended+8; period++ {
		credentials, serial, err := pki.DeriveClient(a.Client, nil, modelUUID, "proxy:7", period)
		require.NoError(t, err)
		cert := parse(t, credentials.CertPEM)
		if cert.NotAfter.After(first) && cert.NotBefore.Before(end) {
			assert.True(t, revoked[serial.String()], "period %d is valid in period %d", period, ended)
		}
		if revoked[serial.String()] {
			// internal/operator keeps it on the list for so long (keptPeriods).
			assert.LessOrEqual(t, pki.PeriodOf(cert.NotAfter), int64(ended+5), "period %d is needed on the CRL to its end", period)
		}
	}
	young, err := pki.SerialsOf(a.Client, modelUUID, "7", 1)
	require.NoError(t, err)
	assert.Len(t, young, 3)
}

func BenchmarkDeriveClient(b *testing.B) {
	a := authority(b, 1)
	for i := 0; b.Loop(); i++ {
		_, _, err := pki.DeriveClient(a.Client, a.TrustClient, modelUUID, fmt.Sprintf("proxy:%d", i), 230)
		require.NoError(b, err)
	}
}

func BenchmarkSerialsOf(b *testing.B) {
	a := authority(b, 1)
	for b.Loop() {
		_, err := pki.SerialsOf(a.Client, modelUUID, "proxy:7", 230)
		require.NoError(b, err)
	}
}
