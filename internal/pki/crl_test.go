package pki_test

import (
	"crypto/rand"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

func TestCRL(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	one, two := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 128)

	der, err := pki.CRL(a.Client, []*big.Int{two, one, two}, epoch)
	require.NoError(t, err)
	again, err := pki.CRL(a.Client, []*big.Int{one, two}, epoch)
	require.NoError(t, err)
	assert.Equal(t, der, again, "order and repetition make no difference")
	serials, err := pki.RevokedSerials(der)
	require.NoError(t, err)
	assert.Equal(t, []*big.Int{one, two}, serials)

	later, err := pki.CRL(a.Client, []*big.Int{one, two}, epoch.Add(time.Hour))
	require.NoError(t, err)
	assert.NotEqual(t, der, later)
	same, err := pki.RevokedSerials(later)
	require.NoError(t, err)
	assert.Equal(t, pki.SerialsDigest(serials), pki.SerialsDigest(same), "the digest knows no dates")
	assert.Equal(t, pki.SerialsDigest(serials), pki.SerialsDigest([]*big.Int{two, one, one}))
	assert.NotEqual(t, pki.SerialsDigest(serials), pki.SerialsDigest([]*big.Int{one}))
	assert.NotEqual(t, pki.SerialsDigest(nil), pki.SerialsDigest([]*big.Int{one}))
}

func TestEmptyCRL(t *testing.T) {
	t.Parallel()
	der, err := pki.CRL(authority(t, 1).Client, nil, epoch)
	require.NoError(t, err)
	serials, err := pki.RevokedSerials(der)
	require.NoError(t, err)
	assert.Empty(t, serials)
}

func TestCRLErrors(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	_, err := pki.CRL(pki.CA{}, nil, epoch)
	require.EqualError(t, err, "cannot make CRL: CA certificate is empty")
	_, err = pki.CRL(pki.CA{CertPEM: a.Client.CertPEM}, nil, epoch)
	require.EqualError(t, err, "cannot make CRL: CA has no private key")
	for name, data := range map[string][]byte{"empty": nil, "garbage": []byte("garbage"), "PEM": a.Client.CertPEM} {
		_, err = pki.RevokedSerials(data)
		require.EqualError(t, err, "cannot read CRL: it is malformed", name)
	}
	_, err = pki.RevokedSerials(make([]byte, 10<<20))
	require.EqualError(t, err, "cannot read CRL: it is 10485760 bytes long, the limit is 8388608")
}

// A CRL has room for everything that the record may name: the record reaches its bound first, and
// reports it.
func TestCRLOfAFullRecord(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	per, err := pki.SerialsOf(a.Client, "uuid", "proxy:1", 1, 228)
	require.NoError(t, err)
	serials := make([]*big.Int, 0, len(per)*etcdcluster.MaxRevoked)
	first := new(big.Int).Lsh(big.NewInt(1), 126)
	for i := range cap(serials) {
		serials = append(serials, new(big.Int).Add(first, big.NewInt(int64(i))))
	}
	der, err := pki.CRL(a.Client, serials, epoch)
	require.NoError(t, err)
	got, err := pki.RevokedSerials(der)
	require.NoError(t, err)
	assert.Len(t, got, len(serials))
}

func FuzzRevokedSerials(f *testing.F) {
	a := authority(f, 1)
	for _, serials := range [][]*big.Int{nil, {big.NewInt(1)}, {big.NewInt(1), big.NewInt(2)}} {
		der, err := pki.CRL(a.Client, serials, epoch)
		require.NoError(f, err)
		f.Add(der)
		f.Add(der[:len(der)-1])
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		serials, err := pki.RevokedSerials(der)
		if err != nil {
			return
		}
		ours, err := pki.CRL(a.Client, serials, epoch)
		require.NoError(t, err)
		read, err := pki.RevokedSerials(ours)
		require.NoError(t, err)
		assert.Equal(t, pki.SerialsDigest(serials), pki.SerialsDigest(read))
	})
}

// Derived sorts the serials on a CRL: it must never confuse those of relations with those of units.
func TestDerivedSerialsAreToldApart(t *testing.T) {
	t.Parallel()
	a, now := authority(t, 1), epoch
	serials, err := pki.SerialsOf(a.Client, "model", "proxy:1", 1, pki.PeriodOf(now))
	require.NoError(t, err)
	for _, serial := range serials {
		assert.True(t, pki.Derived(serial))
	}
	for range 20 {
		leaf, err := pki.IssueAdmin(now, rand.Reader, a)
		require.NoError(t, err)
		info, err := pki.Describe(leaf.CertPEM, nil, nil, now)
		require.NoError(t, err)
		serial, ok := new(big.Int).SetString(info.Serial, 16)
		require.True(t, ok)
		assert.False(t, pki.Derived(serial))
	}
}
