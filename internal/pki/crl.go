package pki

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

const (
	// crlLifetime can be any time: etcd does not look at it.
	crlLifetime = 365 * 24 * time.Hour
	// maxCRLBytes is room for the serials of all ended relations and units' certificates that the
	// application's record can hold, at 35 bytes each. etcd takes 140 ms to read that many.
	maxCRLBytes = 8 << 20
)

// CRL returns a revocation list in DER that names the serials, in any order, each
// once. The same arguments give the same bytes. With no serials it is a valid,
// empty list.
//
// etcd reads the file again for each connection (client/pkg/v3, transport, checkCRL):
// x509.ParseRevocationList, so DER and not PEM. Then it refuses a client if a certificate that it
// shows has a serial on the list. It does not check issuer, signature and dates. If the file is
// missing or broken it refuses every client.
func CRL(ca CA, serials []*big.Int, now time.Time) ([]byte, error) {
	issuer, err := ca.certificate()
	if err != nil {
		return nil, fmt.Errorf("cannot make CRL: %w", err)
	}
	if ca.Key.key == nil {
		return nil, errors.New("cannot make CRL: CA has no private key")
	}
	now = now.UTC().Truncate(time.Second)
	list := &x509.RevocationList{
		Number:     big.NewInt(max(0, now.Unix())),
		ThisUpdate: now,
		NextUpdate: now.Add(crlLifetime),
	}
	for _, serial := range sortedSerials(serials) {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: now})
	}
	der, err := x509.CreateRevocationList(nil, list, issuer, ca.Key.key)
	if err != nil {
		return nil, fmt.Errorf("cannot make CRL: %w", err)
	}
	if len(der) > maxCRLBytes {
		return nil, fmt.Errorf("cannot make CRL: %d serials are too many", len(serials))
	}
	return der, nil
}

// RevokedSerials returns the serials of a CRL in DER, sorted, each once. Like etcd it reads nothing
// else of the CRL.
func RevokedSerials(der []byte) ([]*big.Int, error) {
	if len(der) > maxCRLBytes {
		return nil, fmt.Errorf("cannot read CRL: it is %d bytes long, the limit is %d",
			len(der), maxCRLBytes)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, errors.New("cannot read CRL: it is malformed")
	}
	serials := make([]*big.Int, 0, len(list.RevokedCertificateEntries))
	for _, entry := range list.RevokedCertificateEntries {
		serials = append(serials, entry.SerialNumber)
	}
	return sortedSerials(serials), nil
}

// Derived reports whether a serial is that of a relation's certificate, and not of one that a unit
// issued: see randomSerial.
func Derived(serial *big.Int) bool { return serial.BitLen() <= derivedBits }

// SerialsDigest returns 12 hex digits that are the same for two lists exactly if they name the same
// serials, in any order. It shows whether a CRL names the right serials, whatever its dates.
func SerialsDigest(serials []*big.Int) string {
	h := sha256.New()
	for _, serial := range sortedSerials(serials) {
		_, _ = h.Write(lengthPrefixed(serial.Text(16)))
	}
	return hex.EncodeToString(h.Sum(nil)[:fingerprintBytes])
}

func sortedSerials(serials []*big.Int) []*big.Int {
	sorted := slices.SortedFunc(slices.Values(serials), (*big.Int).Cmp)
	return slices.CompactFunc(sorted, func(a, b *big.Int) bool { return a.Cmp(b) == 0 })
}
