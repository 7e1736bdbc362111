package pki_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

// TestSerialsAreUnique: whatever relations, models and periods there are, and whatever the source of randomness says, no
// two certificates of the two authorities and of their successors share a serial. The CRL names serials alone: a serial
// that a relation and a server had in common would shut the server out with the relation.
func TestSerialsAreUnique(t *testing.T) {
	t.Parallel()
	authorities := []*pki.Authority{authority(t, 1), authority(t, 2)}
	rapid.Check(t, func(t *rapid.T) {
		owners := map[string]string{}
		claim := func(serial *big.Int, owner string) {
			if other, taken := owners[serial.String()]; taken && other != owner {
				t.Fatalf("%s and %s have the serial %x", other, owner, serial)
			}
			owners[serial.String()] = owner
		}
		for i, a := range authorities {
			for _, ca := range []pki.CA{a.Peer, a.Client} {
				cert, err := readOne(ca.CertPEM)
				if err != nil {
					t.Fatal(err)
				}
				claim(cert.SerialNumber, fmt.Sprintf("authority %d %s", i, cert.Subject.CommonName))
			}
		}
		period := rapid.Int64Range(0, 300)
		for range rapid.IntRange(1, 20).Draw(t, "relations") {
			i := rapid.IntRange(0, 1).Draw(t, "authority")
			model := rapid.StringMatching(`[0-9a-f-]{1,36}`).Draw(t, "model")
			relation := fmt.Sprint(rapid.Uint32().Draw(t, "relation"))
			ended := period.Draw(t, "period")
			serials, err := pki.SerialsOf(authorities[i].Client, model, relation, ended)
			if err != nil {
				t.Fatal(err)
			}
			for j, serial := range serials {
				claim(serial, fmt.Sprintf("relation %s of %s by %d in %d", relation, model, i, max(0, ended-4)+int64(j)))
				// The worst of all sources of randomness: it says what the relation's serial is.
				leaf, err := pki.IssueServer(epoch, saying(serial), authorities[i], pki.Request{})
				if err != nil {
					t.Fatal(err)
				}
				cert, err := readOne(leaf.CertPEM)
				if err != nil {
					t.Fatal(err)
				}
				claim(cert.SerialNumber, fmt.Sprintf("server that was issued by the serial %x", serial))
			}
		}
	})
}

// saying is a source of randomness that repeats a serial's 16 bytes.
func saying(serial *big.Int) io.Reader {
	return &repeat{word: serial.FillBytes(make([]byte, 16))}
}

type repeat struct {
	word []byte
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.word[r.at%len(r.word)]
		r.at++
	}
	return len(p), nil
}

func readOne(certPEM []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// FuzzSANs: what is taken has one form only, and is what the certificate says.
func FuzzSANs(f *testing.F) {
	f.Add("Host.Example.", "10.0.0.5")
	f.Add("fe80::1%eth0", "*.A_b")
	f.Add("::ffff:127.0.0.1", "xn--a.\x00")
	a := authority(f, 1)
	f.Fuzz(func(t *testing.T, one, two string) {
		got, err := pki.SANs([]string{one, two})
		if err != nil {
			assert.Less(t, len(err.Error()), 1000)
			return
		}
		again, err := pki.SANs(got)
		require.NoError(t, err)
		assert.Equal(t, got, again)
		swapped, err := pki.SANs([]string{two, one, two})
		require.NoError(t, err)
		assert.Equal(t, got, swapped)
		leaf, err := pki.IssuePeer(epoch, stream(1), a, pki.Request{CommonName: one, SANs: []string{one, two}})
		require.NoError(t, err)
		info, err := pki.Describe(leaf.CertPEM, nil, nil, epoch)
		require.NoError(t, err)
		assert.Equal(t, got, info.SANs)
	})
}

// FuzzRelationNumber: a relation is one number, however its ID is written; what is not one derives nothing.
func FuzzRelationNumber(f *testing.F) {
	f.Add("proxy:7")
	f.Add("007")
	f.Add("a:b:-1")
	f.Add("+7")
	a := authority(f, 1)
	f.Fuzz(func(t *testing.T, id string) {
		serials, err := pki.SerialsOf(a.Client, modelUUID, id, 230)
		if err != nil {
			assert.NotContains(t, err.Error(), "PRIVATE")
			return
		}
		credentials, serial, err := pki.DeriveClient(a.Client, a.TrustClient, modelUUID, id, 230)
		require.NoError(t, err)
		assert.Contains(t, serials, serial, "what is issued can be revoked")
		number := parse(t, credentials.CertPEM).Subject.OrganizationalUnit[0]
		plain, err := pki.SerialsOf(a.Client, modelUUID, "proxy:"+number, 230)
		require.NoError(t, err)
		assert.Equal(t, serials, plain)
	})
}
