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

// TestSerialsAreUnique: no two certificates of the two authorities and of their successors share a
// serial, whatever relations, models and periods there are, and whatever the source of randomness
// returns. The CRL names serials only: if a relation and a server had the same serial, revoking the
// relation would shut out the server.
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
			relation := fmt.Sprintf("%s:%d", rapid.SampledFrom([]string{"proxy", "db"}).Draw(t, "endpoint"), rapid.Uint32Max(1<<31-1).Draw(t, "relation"))
			generation := rapid.IntRange(1, 3).Draw(t, "generation")
			ended := period.Draw(t, "period")
			serials, err := pki.SerialsOf(authorities[i].Client, model, relation, generation, ended)
			if err != nil {
				t.Fatal(err)
			}
			for j, serial := range serials {
				claim(serial, fmt.Sprintf("relation %s.%d of %s by %d in %d", relation, generation, model, i, max(0, ended-4)+int64(j)))
				// The worst source of randomness returns the relation's serial.
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

// FuzzSANs: a name that is accepted has one form only, and is what the certificate contains.
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

// FuzzRelationID: a relation's ID has one spelling, and is the user of its certificate; a text that
// is no ID derives nothing.
func FuzzRelationID(f *testing.F) {
	f.Add("proxy:7", 1)
	f.Add("db:007", 2)
	f.Add("a:b:-1", 1)
	f.Add("+7", 0)
	a := authority(f, 1)
	f.Fuzz(func(t *testing.T, id string, generation int) {
		serials, err := pki.SerialsOf(a.Client, modelUUID, id, generation, 230)
		given, err2 := a.Credentials(modelUUID, id, generation, 230)
		require.Equal(t, err == nil, err2 == nil)
		if err != nil {
			assert.NotContains(t, err.Error(), "PRIVATE")
			return
		}
		cert := parse(t, []byte(given.Cert))
		assert.Contains(t, serials, cert.SerialNumber, "what is issued can be revoked")
		assert.Equal(t, id, cert.Subject.CommonName)
		assert.Regexp(t, `^[a-z0-9-]+:(0|[1-9][0-9]*)$`, id)
	})
}
