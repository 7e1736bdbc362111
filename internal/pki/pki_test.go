package pki_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

const (
	modelUUID = "5e2a1c8e-6f0b-4d3a-8a53-0c5f1d8e7b11"
	day       = 24 * time.Hour
)

var (
	epoch = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	// begin is when all authorities and their leaves begin.
	begin = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
)

// stream is a reader that gives the same bytes for the same seed.
func stream(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func authority(tb testing.TB, seed byte) *pki.Authority {
	tb.Helper()
	return authorityAt(tb, seed, epoch)
}

func authorityAt(tb testing.TB, seed byte, now time.Time) *pki.Authority {
	tb.Helper()
	a, err := pki.NewAuthority(stream(seed), now, "etcd")
	require.NoError(tb, err)
	return a
}

func parse(tb testing.TB, certPEM []byte) *x509.Certificate {
	tb.Helper()
	block, rest := pem.Decode(certPEM)
	require.NotNil(tb, block)
	require.Empty(tb, bytes.TrimSpace(rest))
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(tb, err)
	return cert
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
