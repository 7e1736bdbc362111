package pki

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/juju-charms/etcd-charm/interfaces/hostname"
)

const (
	leafLifetime = 365 * 24 * time.Hour
	// adminName is the user that may do everything in etcd once its authentication is on. With
	// client-cert-auth the certificate's CN is the user.
	adminName = "root"
	// maxNameRunes is ub-common-name of RFC 5280.
	maxNameRunes = 64
)

// Request says what a member's certificate is for. CommonName is for people and
// is cut to 64 characters. SANs are IP addresses and DNS names in any order and
// spelling (see SANs).
type Request struct {
	CommonName string
	SANs       []string
}

// Leaf is a certificate with its key. It prints as "[redacted]".
type Leaf struct {
	redacted
	CertPEM []byte
	Key     PrivateKey
}

// IssuePeer makes the certificate that a member shows to other members, signed by the peer CA. It
// is valid from the CA's beginning to a year after now, or to the CA's end. It does not begin at
// the present time of this machine's clock: if that was ahead, the others would refuse the
// certificate, and a machine whose clock is behind could not tell such a certificate from a good
// one. It is for server and client authentication, because members dial each other.
func IssuePeer(now time.Time, random io.Reader, a *Authority, r Request) (Leaf, error) {
	leaf, err := issueServer(now, random, a.Peer, r)
	if err != nil {
		return Leaf{}, fmt.Errorf("cannot issue peer certificate: %w", err)
	}
	return leaf, nil
}

// IssueServer makes the certificate that a member shows to clients, signed by the
// client CA, with the dates and usages of IssuePeer: etcd's HTTP gateway dials its
// own client port with it.
func IssueServer(now time.Time, random io.Reader, a *Authority, r Request) (Leaf, error) {
	leaf, err := issueServer(now, random, a.Client, r)
	if err != nil {
		return Leaf{}, fmt.Errorf("cannot issue server certificate: %w", err)
	}
	return leaf, nil
}

// IssueAdmin makes the certificate that the charm and etcdctl use on a unit: CN
// "root", no SANs, for client authentication only, signed by the client CA, with
// the dates of IssuePeer.
func IssueAdmin(now time.Time, random io.Reader, a *Authority) (Leaf, error) {
	leaf, err := issue(now, random, a.Client, &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{organization}, CommonName: adminName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return Leaf{}, fmt.Errorf("cannot issue admin certificate: %w", err)
	}
	return leaf, nil
}

func issueServer(now time.Time, random io.Reader, ca CA, r Request) (Leaf, error) {
	names, err := SANs(r.SANs)
	if err != nil {
		return Leaf{}, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{
			Organization: []string{organization},
			CommonName:   cutName(r.CommonName, maxNameRunes),
		},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil {
			template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return issue(now, random, ca, template)
}

func issue(now time.Time, random io.Reader, ca CA, template *x509.Certificate) (Leaf, error) {
	parent, err := ca.certificate()
	if err != nil {
		return Leaf{}, err
	}
	now = now.UTC().Truncate(time.Second)
	if err := checkDates("CA", parent, now); err != nil {
		return Leaf{}, err
	}
	template.NotBefore, template.NotAfter = parent.NotBefore, now.Add(leafLifetime)
	if template.NotAfter.After(parent.NotAfter) {
		template.NotAfter = parent.NotAfter
	}
	key, err := randomKey(random)
	if err != nil {
		return Leaf{}, err
	}
	if template.SerialNumber, err = randomSerial(random); err != nil {
		return Leaf{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	cert, err := sign(template, parent, key, ca.Key)
	if err != nil {
		return Leaf{}, err
	}
	return Leaf{CertPEM: encodeCertificates(cert), Key: key}, nil
}

// sign makes the certificate of key, signed by signer. Without a source of randomness crypto/ecdsa
// signs deterministically, as in RFC 6979.
func sign(template, parent *x509.Certificate, key, signer PrivateKey) (*x509.Certificate, error) {
	if signer.key == nil {
		return nil, errors.New("CA has no private key")
	}
	der, err := x509.CreateCertificate(nil, template, parent, key.key.Public(), signer.key)
	if err != nil {
		return nil, fmt.Errorf("cannot sign certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("cannot read back signed certificate: %w", err)
	}
	return cert, nil
}

// SANs returns the names that a member's certificate with these SANs has, in the form of
// LeafInfo.SANs: addresses in their shortest form without zone, DNS names in lower case without
// final dot, each once, sorted as text. Empty names are skipped; what is neither an address nor a
// name is an error.
func SANs(names []string) ([]string, error) {
	canonical := []string{}
	for _, name := range names {
		if name == "" {
			continue
		}
		if addr, err := netip.ParseAddr(name); err == nil {
			canonical = append(canonical, addr.Unmap().WithZone("").String())
			continue
		}
		dns := strings.TrimSuffix(strings.ToLower(name), ".")
		if !hostname.ValidPattern(dns) {
			return nil, fmt.Errorf("SAN %.100q is neither an IP address nor a DNS name", name)
		}
		canonical = append(canonical, dns)
	}
	slices.Sort(canonical)
	return slices.Compact(canonical), nil
}

func cutName(name string, limit int) string {
	runes := bytes.Runes([]byte(name))
	return string(runes[:min(len(runes), limit)])
}
