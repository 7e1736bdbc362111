package pki

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// LeafInfo is what a certificate is at one moment, by itself and beside its key and the trusted
// CAs.
type LeafInfo struct {
	SANs   []string // addresses and DNS names, in the form that the function SANs gives them, sorted
	Serial string   // hex

	NotAfter  time.Time     // UTC
	Life      time.Duration // from NotBefore to NotAfter
	Remaining time.Duration // from now to NotAfter; negative when expired
	// less than a third of a leaf's year remains, and its signer lives longer: time to renew
	Due         bool
	Expired     bool
	NotYetValid bool

	KeyMatches bool
	Trusted    bool // it chains to the trust bundle, its own dates not considered
	// fingerprint of the certificate in the trust bundle that it chains to, "" if not Trusted
	SignedBy string
}

// Describe reads a certificate (the first of certPEM; intermediates may follow) and checks it
// against its key and a bundle of trusted CAs. An empty key matches nothing and an empty bundle
// trusts nothing, without an error. An error means that one of the three cannot be read; it says
// which, and contains none of it.
func Describe(certPEM, keyPEM, trustPEM []byte, now time.Time) (LeafInfo, error) {
	certs, err := readCertificates(certPEM)
	if err != nil {
		return LeafInfo{}, fmt.Errorf("certificate %w", err)
	}
	cert := certs[0]
	info := LeafInfo{
		SANs:        sansOf(cert),
		Serial:      cert.SerialNumber.Text(16),
		NotAfter:    cert.NotAfter.UTC(),
		Life:        cert.NotAfter.Sub(cert.NotBefore),
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
		if anchor, err := findAnchor(certs, roots, at); err == nil {
			info.Trusted, info.SignedBy = true, fingerprint(anchor.Raw)
			// Otherwise a new one would live no longer.
			info.Due = info.Due && cert.NotAfter.Before(anchor.NotAfter)
		}
	}
	return info, nil
}

// checkDates compares as crypto/x509 does: the certificate is valid at both dates themselves.
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
func findAnchor(certs, roots []*x509.Certificate, at time.Time) (*x509.Certificate, error) {
	options := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
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
