package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// LeafInfo is what a certificate and its surroundings say at one moment.
type LeafInfo struct {
	CommonName  string
	SANs        []string // addresses and DNS names, in the form that the function SANs gives them, sorted
	Serial      string   // hex
	Fingerprint string   // of the certificate itself: 12 hex digits of its SHA-256
	ServerAuth  bool     // may be shown by a server
	ClientAuth  bool     // may be shown by a client

	NotBefore, NotAfter time.Time     // UTC
	Remaining           time.Duration // from now to NotAfter; negative when expired
	Due                 bool          // less than a third of a leaf's year remains, and its signer lives longer: time to renew
	Expired             bool
	NotYetValid         bool

	KeyMatches bool
	Trusted    bool   // it chains to the trust bundle, its own dates apart
	SignedBy   string // fingerprint of the certificate in the trust bundle that it chains to, "" if not Trusted
}

// Describe reads a certificate (the first of certPEM, intermediates may follow)
// and holds it against its key and a bundle of trusted CAs. An empty key matches
// nothing and an empty bundle trusts nothing, without an error. An error means
// that one of the three cannot be read, says which, and contains none of it.
func Describe(certPEM, keyPEM, trustPEM []byte, now time.Time) (LeafInfo, error) {
	certs, err := readCertificates(certPEM)
	if err != nil {
		return LeafInfo{}, fmt.Errorf("certificate %w", err)
	}
	cert := certs[0]
	info := LeafInfo{
		CommonName:  cert.Subject.CommonName,
		SANs:        sansOf(cert),
		Serial:      cert.SerialNumber.Text(16),
		Fingerprint: fingerprint(cert.Raw),
		ServerAuth:  allows(cert, x509.ExtKeyUsageServerAuth),
		ClientAuth:  allows(cert, x509.ExtKeyUsageClientAuth),
		NotBefore:   cert.NotBefore.UTC(),
		NotAfter:    cert.NotAfter.UTC(),
		Remaining:   cert.NotAfter.Sub(now),
		Expired:     now.After(cert.NotAfter),
		NotYetValid: now.Before(cert.NotBefore),
	}
	info.Due = info.Remaining < leafLifetime/3
	if len(keyPEM) > 0 {
		key, err := readKey(keyPEM)
		if err != nil {
			return LeafInfo{}, fmt.Errorf("private key %w", err)
		}
		info.KeyMatches = keyMatches(cert, key)
	}
	if len(trustPEM) > 0 {
		roots, err := readCertificates(trustPEM)
		if err != nil {
			return LeafInfo{}, fmt.Errorf("trust bundle %w", err)
		}
		at := now
		if info.Expired {
			at = cert.NotAfter
		} else if info.NotYetValid {
			at = cert.NotBefore
		}
		if anchor, err := findAnchor(certs, roots, at, x509.ExtKeyUsageAny); err == nil {
			info.Trusted, info.SignedBy = true, fingerprint(anchor.Raw)
			info.Due = info.Due && cert.NotAfter.Before(anchor.NotAfter) // else a new one would live no longer
		}
	}
	return info, nil
}

// CheckPair says in words why a client certificate and key, as received from a
// provider with the CA to trust, are of no use at this moment, or returns nil.
// The words contain nothing of what was received.
func CheckPair(certPEM, keyPEM, caPEM []byte, now time.Time) error {
	certs, err := readCertificates(certPEM)
	if err != nil {
		return fmt.Errorf("certificate %w", err)
	}
	key, err := readKey(keyPEM)
	if err != nil {
		return fmt.Errorf("private key %w", err)
	}
	roots, err := readCertificates(caPEM)
	if err != nil {
		return fmt.Errorf("CA %w", err)
	}
	if !keyMatches(certs[0], key) {
		return errors.New("certificate does not match its key")
	}
	if err := checkDates("certificate", certs[0], now); err != nil {
		return err
	}
	_, err = findAnchor(certs, roots, now, x509.ExtKeyUsageClientAuth)
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return errors.New("certificate is signed by a CA that has expired or is not valid yet")
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return errors.New("certificate does not allow client authentication")
	default:
		return errors.New("certificate is not signed by the given CA")
	}
}

// checkDates compares as crypto/x509 does: both ends belong to the validity.
func checkDates(what string, cert *x509.Certificate, now time.Time) error {
	const layout = "2006-01-02 15:04 MST"
	if now.After(cert.NotAfter) {
		return fmt.Errorf("%s has expired on %s", what, cert.NotAfter.UTC().Format(layout))
	}
	if now.Before(cert.NotBefore) {
		return fmt.Errorf("%s is not valid before %s, and the clock says %s", what,
			cert.NotBefore.UTC().Format(layout), now.UTC().Format(layout))
	}
	return nil
}

// findAnchor returns the root that the first of certs chains to at a moment.
func findAnchor(certs, roots []*x509.Certificate, at time.Time, usage x509.ExtKeyUsage) (*x509.Certificate, error) {
	options := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	}
	for _, root := range roots {
		options.Roots.AddCert(root)
	}
	for _, intermediate := range certs[1:] {
		options.Intermediates.AddCert(intermediate)
	}
	chains, err := certs[0].Verify(options)
	if err != nil {
		return nil, err
	}
	return chains[0][len(chains[0])-1], nil
}

// allows takes a certificate without extended key usages as one for any, as
// crypto/x509 does.
func allows(cert *x509.Certificate, usage x509.ExtKeyUsage) bool {
	return len(cert.ExtKeyUsage) == 0 && len(cert.UnknownExtKeyUsage) == 0 ||
		slices.Contains(cert.ExtKeyUsage, usage) || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
}

func sansOf(cert *x509.Certificate) []string {
	names := make([]string, 0, len(cert.IPAddresses)+len(cert.DNSNames))
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	for _, name := range cert.DNSNames {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}
