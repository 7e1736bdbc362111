// Package pki issues and checks the certificates of an etcd cluster and of its
// consumers.
//
// The rule it keeps: everything it makes is a function of its arguments. The
// clock (a time.Time) and randomness (an io.Reader) are arguments too, no file is
// read or written, and signatures are deterministic (RFC 6979), so the same
// arguments give the same bytes on every unit.
//
// There are two authorities. The peer CA signs what members show each other; the client CA signs
// servers and clients. Each port of etcd trusts only one of them, so a client's certificate never
// opens the peer port. A private key leaves this package only through PrivateKey.PEM and
// Authority.Encode: every type that holds one prints as "[redacted]", and no error contains what
// was read.
package pki

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/juju-charms/etcd-charm/interfaces/credentials"
)

const (
	organization = "etcd-charm"
	caYears      = 20
	// caBegin is when every CA begins, in Unix seconds: 2020-01-01. It does not depend on the
	// founder's clock, which may be years ahead: a CA that began in the future could issue nothing
	// valid until then.
	caBegin = 1_577_836_800
)

// The keys of an encoded Authority. Juju accepts as a secret's key what matches
// ^([a-z](?:-?[a-z0-9]){2,})$.
const (
	keyPeerCACert   = "peer-ca-cert"
	keyPeerCAKey    = "peer-ca-key"
	keyPeerTrust    = "peer-trust"
	keyClientCACert = "client-ca-cert"
	keyClientCAKey  = "client-ca-key"
	keyClientTrust  = "client-trust"
)

// CA is one certificate authority, with an ECDSA P-256 key. The zero value can sign nothing: each
// of its methods that needs a key returns an error. It prints as "[redacted]".
type CA struct {
	redacted
	CertPEM []byte
	Key     PrivateKey

	cert *x509.Certificate // CertPEM, if it was parsed already
}

// Authority is everything that a cluster's units share to issue and check certificates. TrustPeer
// and TrustClient are PEM bundles that hold the active CA's certificate and, while one is being
// replaced, that of its predecessor or successor. No certificate or key is in both. NewAuthority
// and DecodeAuthority make an Authority; it must not be changed afterwards. It prints as
// "[redacted]".
type Authority struct {
	redacted
	Peer, Client           CA
	TrustPeer, TrustClient []byte

	fingerprint, trust string
	// A pointer, as in PrivateKey: derived credentials hold keys.
	derived *derivations
}

// NewAuthority makes two CAs. They are valid from the start of 2020, whatever the clock says, to
// twenty years after now, or after 2020 if now is earlier. Their subjects contain the name, usually
// that of the application, cut to the length that a subject can have. Each call with other
// randomness makes other subjects, so that one CA can replace another while both are trusted.
func NewAuthority(random io.Reader, now time.Time, name string) (*Authority, error) {
	peer, err := newCA(random, now, name, "peer")
	if err != nil {
		return nil, fmt.Errorf("cannot make peer CA: %w", err)
	}
	client, err := newCA(random, now, name, "client")
	if err != nil {
		return nil, fmt.Errorf("cannot make client CA: %w", err)
	}
	return assemble(peer, client, slices.Clone(peer.CertPEM), slices.Clone(client.CertPEM)), nil
}

func assemble(peer, client CA, trustPeer, trustClient []byte) *Authority {
	h := sha256.New()
	for _, part := range [][]byte{peer.CertPEM, client.CertPEM, trustPeer, trustClient} {
		_, _ = h.Write(lengthPrefixed(string(part)))
	}
	return &Authority{
		Peer: peer, Client: client, TrustPeer: trustPeer, TrustClient: trustClient,
		fingerprint: hex.EncodeToString(h.Sum(nil)[:fingerprintBytes]),
		trust:       TrustDigest(trustPeer, trustClient),
		derived:     &derivations{known: map[derivedOf]credentials.Credentials{}},
	}
}

func newCA(random io.Reader, now time.Time, name, role string) (CA, error) {
	key, err := randomKey(random)
	if err != nil {
		return CA{}, err
	}
	serial, err := randomSerial(random)
	if err != nil {
		return CA{}, err
	}
	public, err := key.key.PublicKey.Bytes()
	if err != nil {
		return CA{}, fmt.Errorf("cannot encode public key: %w", err)
	}
	// Set here, because crypto/x509 chooses its method by a GODEBUG setting.
	keyID := sha256.Sum256(public)
	suffix := " " + role + " CA " + hex.EncodeToString(keyID[:4])
	from, until := time.Unix(caBegin, 0).UTC(), now.UTC().Truncate(time.Second)
	if until.Before(from) {
		until = from // if the clock was never set, the CA would otherwise end before its first use
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{
			Organization: []string{organization},
			CommonName:   cutName(name, maxNameRunes-len(suffix)) + suffix,
		},
		NotBefore:             from,
		NotAfter:              until.AddDate(caYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          keyID[:20],
	}
	cert, err := sign(template, template, key, key)
	if err != nil {
		return CA{}, err
	}
	return CA{CertPEM: encodeCertificates(cert), Key: key, cert: cert}, nil
}

// Fingerprint returns 12 hex digits of the SHA-256 of the CA's certificate (DER),
// or "" if it has none that can be read. LeafInfo.SignedBy is such a fingerprint.
func (ca CA) Fingerprint() string {
	cert, err := ca.certificate()
	if err != nil {
		return ""
	}
	return fingerprint(cert.Raw)
}

func (ca CA) certificate() (*x509.Certificate, error) {
	if ca.cert != nil {
		return ca.cert, nil
	}
	certs, err := readCertificates(ca.CertPEM)
	if err != nil {
		return nil, fmt.Errorf("CA certificate %w", err)
	}
	if len(certs) != 1 {
		return nil, errors.New("CA certificate is more than one certificate")
	}
	return certs[0], nil
}

// Ends returns when the first of the two CAs ends, or the zero time if one cannot be read. What
// they issue ends with them.
func (a *Authority) Ends() time.Time {
	var first time.Time
	for _, ca := range []CA{a.Peer, a.Client} {
		cert, err := ca.certificate()
		if err != nil {
			return time.Time{}
		}
		if first.IsZero() || cert.NotAfter.Before(first) {
			first = cert.NotAfter
		}
	}
	return first
}

// Fingerprint returns 12 hex digits that change whenever an active CA or a trust bundle changes.
// They reveal nothing of the keys.
func (a *Authority) Fingerprint() string { return a.fingerprint }

// Trust returns TrustDigest of the authority's trust bundles. A change of it needs restarts,
// because etcd reads its trust bundles once.
func (a *Authority) Trust() string { return a.trust }

// TrustDigest returns 32 hex digits that change whenever one of the two trust bundles changes, or
// "" if one is missing. Servers have it in their environment, so it must never change for the same
// bundles.
func TrustDigest(peer, client []byte) string {
	if len(peer) == 0 || len(client) == 0 {
		return ""
	}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d:%s%d:%s", len(peer), peer, len(client), client)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Encode returns the authority as PEM texts under keys that Juju accepts in a
// secret. The values hold the private keys.
func (a *Authority) Encode() map[string]string {
	return map[string]string{
		keyPeerCACert:   string(a.Peer.CertPEM),
		keyPeerCAKey:    string(a.Peer.Key.PEM()),
		keyPeerTrust:    string(a.TrustPeer),
		keyClientCACert: string(a.Client.CertPEM),
		keyClientCAKey:  string(a.Client.Key.PEM()),
		keyClientTrust:  string(a.TrustClient),
	}
}

// DecodeAuthority is the inverse of Encode. It ignores keys that it does not know, because a newer
// charm may have written them. An error names the key that is missing or broken, never its value.
// Dates are not checked.
func DecodeAuthority(content map[string]string) (*Authority, error) {
	peer, peerTrust, err := decodeCA(content, keyPeerCACert, keyPeerCAKey, keyPeerTrust)
	if err != nil {
		return nil, fmt.Errorf("cannot decode authority: %w", err)
	}
	client, clientTrust, err := decodeCA(content, keyClientCACert, keyClientCAKey, keyClientTrust)
	if err != nil {
		return nil, fmt.Errorf("cannot decode authority: %w", err)
	}
	for _, p := range peerTrust {
		for _, c := range clientTrust {
			if samePublicKey(p.PublicKey, c.PublicKey) {
				return nil, fmt.Errorf(
					"cannot decode authority: %s and %s share a key, so clients could pass as members",
					keyPeerTrust, keyClientTrust,
				)
			}
		}
	}
	return assemble(peer, client,
		encodeCertificates(peerTrust...), encodeCertificates(clientTrust...)), nil
}

func decodeCA(
	content map[string]string, certName, keyName, trustName string,
) (CA, []*x509.Certificate, error) {
	fail := func(name string, err error) (CA, []*x509.Certificate, error) {
		return CA{}, nil, fmt.Errorf("%s %w", name, err)
	}
	certs, err := readCertificates([]byte(content[certName]))
	if err != nil {
		return fail(certName, err)
	}
	if len(certs) != 1 {
		return fail(certName, errors.New("holds more than one certificate"))
	}
	cert := certs[0]
	if err := checkCA(cert); err != nil {
		return fail(certName, err)
	}
	key, err := readKey([]byte(content[keyName]))
	if err != nil {
		return fail(keyName, err)
	}
	if !keyMatches(cert, key) {
		return fail(keyName, fmt.Errorf("does not match %s", certName))
	}
	trust, err := readCertificates([]byte(content[trustName]))
	if err != nil {
		return fail(trustName, err)
	}
	for _, trusted := range trust {
		if err := checkCA(trusted); err != nil {
			return fail(trustName, err)
		}
	}
	if !slices.ContainsFunc(trust, cert.Equal) {
		return fail(trustName, fmt.Errorf("does not hold %s", certName))
	}
	return CA{CertPEM: encodeCertificates(cert), Key: PrivateKey{key: key}, cert: cert}, trust, nil
}

func checkCA(cert *x509.Certificate) error {
	const usage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if !cert.BasicConstraintsValid || !cert.IsCA ||
		cert.KeyUsage&usage != usage || len(cert.SubjectKeyId) == 0 {
		return errors.New("holds a certificate that is not a CA's")
	}
	return nil
}

// lengthPrefixed makes a concatenation of texts unambiguous: no other list of texts gives the same
// bytes.
func lengthPrefixed(text string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(len(text))), text...)
}
