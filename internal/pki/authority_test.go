package pki_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

func TestNewAuthority(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	peer, client := parse(t, a.Peer.CertPEM), parse(t, a.Client.CertPEM)

	assert.NotEqual(t, peer.RawSubject, client.RawSubject)
	assert.NotEqual(t, peer.SerialNumber, client.SerialNumber)
	assert.NotEqual(t, a.Peer.Key.PEM(), a.Client.Key.PEM())
	assert.Contains(t, peer.Subject.CommonName, "etcd peer CA ")
	assert.Contains(t, client.Subject.CommonName, "etcd client CA ")
	assert.Equal(t, begin, client.NotBefore)
	assert.Equal(t, epoch.AddDate(20, 0, 0), client.NotAfter)
	assert.NoError(t, client.CheckSignatureFrom(client))
	assert.Error(t, client.CheckSignatureFrom(peer))

	other := authority(t, 2)
	assert.NotEqual(t, client.RawSubject, parse(t, other.Client.CertPEM).RawSubject, "a CA and its successor differ in subject")
	assert.Equal(t, a.Encode(), authority(t, 1).Encode(), "the randomness given is all the randomness used")
	assert.NotEqual(t, a.Fingerprint(), other.Fingerprint())
	assert.Regexp(t, "^[0-9a-f]{12}$", a.Fingerprint())
}

func TestNewAuthorityCutsLongNames(t *testing.T) {
	t.Parallel()
	a, err := pki.NewAuthority(stream(1), epoch, strings.Repeat("é", 500))
	require.NoError(t, err)
	name := parse(t, a.Client.CertPEM).Subject.CommonName
	assert.Len(t, []rune(name), 64)
	assert.Contains(t, name, " client CA ")
}

func TestNewAuthorityReportsBrokenRandomness(t *testing.T) {
	t.Parallel()
	_, err := pki.NewAuthority(iotest.ErrReader(errors.New("no entropy")), epoch, "etcd")
	require.ErrorContains(t, err, "no entropy")
	_, err = pki.NewAuthority(bytes.NewReader(make([]byte, 1000)), epoch, "etcd")
	require.ErrorContains(t, err, "no usable key")
}

func TestAuthorityRoundTrip(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	encoded := a.Encode()
	for key := range encoded {
		assert.Regexp(t, `^([a-z](?:-?[a-z0-9]){2,})$`, key)
	}
	encoded["next-client-ca-key"] = "of a newer charm"
	// Juju tools and people strip final newlines.
	encoded["client-ca-cert"] = strings.TrimSpace(encoded["client-ca-cert"])
	decoded, err := pki.DecodeAuthority(encoded)
	require.NoError(t, err)
	assert.Equal(t, a.Encode(), decoded.Encode())
	assert.Equal(t, a.Fingerprint(), decoded.Fingerprint())

	successor := authority(t, 2)
	a.TrustClient = join(a.TrustClient, successor.TrustClient)
	overlapping, err := pki.DecodeAuthority(a.Encode())
	require.NoError(t, err)
	assert.Equal(t, string(a.TrustClient), string(overlapping.TrustClient))
	assert.NotEqual(t, decoded.Fingerprint(), overlapping.Fingerprint(), "a fingerprint hears of a trust bundle")
}

func TestDecodeAuthorityNamesTheBrokenKey(t *testing.T) {
	t.Parallel()
	a, other := authority(t, 1), authority(t, 2)
	leaf, err := pki.IssueAdmin(epoch, stream(3), a)
	require.NoError(t, err)
	tests := []struct {
		name, key, value, want string
	}{
		{"missing", "peer-ca-cert", "", "peer-ca-cert is empty"},
		{"missing trust", "client-trust", " \n", "client-trust is empty"},
		{"garbage", "client-ca-key", "hunter2", "client-ca-key is not PEM"},
		{"not base64", "peer-ca-cert", "-----BEGIN CERTIFICATE-----\nhunter2!\n-----END CERTIFICATE-----\n", "peer-ca-cert holds a broken PEM block"},
		{"not DER", "peer-ca-cert", "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n", "peer-ca-cert holds a broken certificate"},
		{"a key for a certificate", "peer-ca-cert", string(a.Peer.Key.PEM()), "peer-ca-cert holds something that is not a certificate"},
		{"a certificate for a key", "peer-ca-key", string(a.Peer.CertPEM), "peer-ca-key is not a private key in PKCS #8"},
		{"two certificates", "peer-ca-cert", string(join(a.Peer.CertPEM, other.Peer.CertPEM)), "peer-ca-cert holds more than one certificate"},
		{"two keys", "peer-ca-key", string(join(a.Peer.Key.PEM(), other.Peer.Key.PEM())), "peer-ca-key holds more than one PEM block"},
		{"a leaf for a CA", "client-ca-cert", string(leaf.CertPEM), "client-ca-cert holds a certificate that is not a CA's"},
		{"another CA's key", "client-ca-key", string(other.Client.Key.PEM()), "client-ca-key does not match client-ca-cert"},
		{"trust without the CA", "client-trust", string(other.Client.CertPEM), "client-trust does not hold client-ca-cert"},
		{"trust cut short", "peer-trust", string(join(a.Peer.CertPEM, other.Peer.CertPEM[:200])), "peer-trust holds a broken PEM block"},
		{"trust with a leaf", "client-trust", string(join(a.Client.CertPEM, leaf.CertPEM)), "client-trust holds a certificate that is not a CA's"},
		{"clients pass as peers", "peer-trust", string(join(a.Peer.CertPEM, a.Client.CertPEM)), "peer-trust and client-trust share a key"},
		{"10 MB", "peer-trust", strings.Repeat("-----BEGIN CERTIFICATE-----\n", 360_000), "peer-trust is 10080000 bytes long"},
		{"RSA key", "peer-ca-key", string(rsaKey(t)), "peer-ca-key is not an ECDSA P-256 key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			content := a.Encode()
			content[test.key] = test.value
			_, err := pki.DecodeAuthority(content)
			require.ErrorContains(t, err, test.want)
			assert.Less(t, len(err.Error()), 200)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
	_, err = pki.DecodeAuthority(nil)
	require.ErrorContains(t, err, "peer-ca-cert is empty")
}

func FuzzDecodeAuthority(f *testing.F) {
	a := authority(f, 1)
	for key, value := range a.Encode() {
		f.Add(key, value)
		f.Add(key, value[:len(value)/2])
		f.Add(key, value+value)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		content := maps.Clone(a.Encode())
		content[key] = value
		decoded, err := pki.DecodeAuthority(content)
		if err != nil {
			assert.NotContains(t, err.Error(), "-----")
			assert.Less(t, len(err.Error()), 200)
			return
		}
		again, err := pki.DecodeAuthority(decoded.Encode())
		require.NoError(t, err)
		assert.Equal(t, decoded.Encode(), again.Encode())
		_, err = pki.IssueAdmin(parse(t, decoded.Client.CertPEM).NotBefore.Add(time.Hour), stream(9), decoded)
		assert.NoError(t, err)
	})
}

func TestAuthorityEnds(t *testing.T) {
	t.Parallel()
	assert.Equal(t, epoch.AddDate(20, 0, 0), authority(t, 1).Ends())
	assert.Zero(t, (&pki.Authority{}).Ends(), "nothing is known of none")
}
