package pki

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/juju-charms/etcd-charm/interfaces/credentials"
)

// A derived certificate belongs to a period of 90 days, counted from the Unix
// epoch. It is valid from the start of the period before, since a unit whose clock
// is ahead publishes it early and a consumer's clock may be behind, to 365 days
// after its own period's start. An earlier start would make a certificate valid
// that SerialsOf does not name.
const (
	periodSeconds   = 90 * 24 * 60 * 60
	derivedBackdate = periodSeconds * time.Second
	derivedLifetime = 365 * 24 * time.Hour
	// earlierPeriods is how many periods before the present one can have a
	// certificate that is still valid: 5 × 90 > 365 days.
	earlierPeriods = 4
	// maxPeriod ends within the year 9999, the last that a certificate can say.
	maxPeriod = 32_500
)

// derivation separates these keys from any other use of HKDF over the CA's key.
// A change of it, or of anything below, changes every consumer's certificate at
// the next upgrade and takes the old ones out of reach of the CRL: add a version.
const derivation = "etcd-charm/derived-client/v1"

// Credentials are what a consumer needs to reach the cluster: its certificate
// and key, and the bundle of CAs by which it knows a server. They print as
// "[redacted]".
type Credentials struct {
	redacted
	CertPEM []byte
	Key     PrivateKey
	CAPEM   []byte
}

// PeriodOf returns the number of the 90-day period that now lies in, negative
// before 1970.
func PeriodOf(now time.Time) int64 {
	seconds := now.Unix()
	period := seconds / periodSeconds
	if seconds%periodSeconds < 0 {
		period--
	}
	return period
}

// Credentials returns what the consumer of one relation is given in one period: the
// same on every unit for the same arguments. See DeriveClient.
func (a *Authority) Credentials(modelUUID, relationID string, period int64) (credentials.Credentials, error) {
	c, _, err := DeriveClient(a.Client, a.TrustClient, modelUUID, relationID, period)
	if err != nil {
		return credentials.Credentials{}, err
	}
	return credentials.Credentials{Cert: string(c.CertPEM), Key: string(c.Key.PEM()), CA: string(c.CAPEM)}, nil
}

// DeriveClient returns the credentials of one relation in one period, and the
// certificate's serial. Nothing in them is random: whoever holds the client CA
// computes the same bytes. Key and serial are HKDF-SHA-256 of the CA's key; the
// dates are those of the period, ending with the CA's. The certificate has no CN
// and no SANs, since etcd's JSON gateway and grpc-proxy refuse a CN and its peer
// port compares SANs with the caller's address.
//
// A relation ID may be a number or have its endpoint before it ("proxy:7"): both
// give the same. trust is Authority.TrustClient.
func DeriveClient(client CA, trust []byte, modelUUID, relationID string, period int64) (Credentials, *big.Int, error) {
	credentials, serial, err := deriveClient(client, trust, modelUUID, relationID, period)
	if err != nil {
		return Credentials{}, nil, fmt.Errorf("cannot derive client certificate: %w", err)
	}
	return credentials, serial, nil
}

func deriveClient(client CA, trust []byte, modelUUID, relationID string, period int64) (Credentials, *big.Int, error) {
	parent, err := client.certificate()
	if err != nil {
		return Credentials{}, nil, err
	}
	source, err := newSource(client, modelUUID, relationID)
	if err != nil {
		return Credentials{}, nil, err
	}
	if period < 0 || period > maxPeriod {
		return Credentials{}, nil, fmt.Errorf("period %d is out of range", period)
	}
	start := time.Unix(period*periodSeconds, 0).UTC()
	from, until := start.Add(-derivedBackdate), start.Add(derivedLifetime)
	if until.After(parent.NotAfter) {
		until = parent.NotAfter
	}
	if !start.Before(until) {
		return Credentials{}, nil, fmt.Errorf("CA ends before period %d", period)
	}
	key, err := sampleKey(func(try int) ([]byte, error) { return source.expand("key", period, try, 32) })
	if err != nil {
		return Credentials{}, nil, err
	}
	serial, err := source.serial(period)
	if err != nil {
		return Credentials{}, nil, err
	}
	cert, err := sign(&x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{organization}, OrganizationalUnit: []string{source.relation}},
		NotBefore:             from,
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, parent, key, client.Key)
	if err != nil {
		return Credentials{}, nil, err
	}
	return Credentials{CertPEM: encodeCertificates(cert), Key: key, CAPEM: trust}, serial, nil
}

// SerialsOf returns the serials, for the CRL, of every certificate that a
// relation which ended in a period may have had and that was valid then: those
// of the four periods before it, of its own, and of the next, which a unit whose
// clock was ahead may have published. They are those of this CA only: while a
// predecessor is trusted, ask for its serials too.
func SerialsOf(client CA, modelUUID, relationID string, endedPeriod int64) ([]*big.Int, error) {
	source, err := newSource(client, modelUUID, relationID)
	if err != nil {
		return nil, fmt.Errorf("cannot derive serials: %w", err)
	}
	if endedPeriod < 0 || endedPeriod > maxPeriod {
		return nil, fmt.Errorf("cannot derive serials: period %d is out of range", endedPeriod)
	}
	serials := make([]*big.Int, 0, earlierPeriods+2)
	for period := max(0, endedPeriod-earlierPeriods); period <= endedPeriod+1; period++ {
		serial, err := source.serial(period)
		if err != nil {
			return nil, fmt.Errorf("cannot derive serials: %w", err)
		}
		serials = append(serials, serial)
	}
	return serials, nil
}

// source derives what belongs to one relation.
type source struct {
	secret   []byte // HKDF's pseudorandom key
	context  []byte
	relation string
}

func newSource(client CA, modelUUID, relationID string) (source, error) {
	if modelUUID == "" {
		return source{}, errors.New("model UUID is empty")
	}
	number, err := relationNumber(relationID)
	if err != nil {
		return source{}, err
	}
	raw, err := client.Key.raw()
	if err != nil {
		return source{}, err
	}
	secret, err := hkdf.Extract(sha256.New, raw, []byte(derivation))
	if err != nil {
		return source{}, fmt.Errorf("cannot extract: %w", err)
	}
	return source{
		secret:   secret,
		context:  append(lengthPrefixed(modelUUID), lengthPrefixed(number)...),
		relation: number,
	}, nil
}

func (s source) expand(purpose string, period int64, try, length int) ([]byte, error) {
	info := append(lengthPrefixed(derivation+"/"+purpose), s.context...)
	info = binary.BigEndian.AppendUint64(info, uint64(period))
	info = binary.BigEndian.AppendUint64(info, uint64(try))
	out, err := hkdf.Expand(sha256.New, s.secret, string(info), length)
	if err != nil {
		return nil, fmt.Errorf("cannot expand: %w", err)
	}
	return out, nil
}

// derivedBits is the length of a derived serial.
const derivedBits = 127

// serial is 127 bits long, 126 of them derived: bit 126 is always set, which
// keeps it off zero and apart from random serials.
func (s source) serial(period int64) (*big.Int, error) {
	out, err := s.expand("serial", period, 0, 16)
	if err != nil {
		return nil, err
	}
	n := new(big.Int).SetBytes(out)
	return n.SetBit(n.SetBit(n, 127, 0), 126, 1), nil
}

// relationNumber returns the number alone, in which Juju's relation IDs are
// unique within a model whatever their endpoint.
func relationNumber(relationID string) (string, error) {
	number, err := strconv.ParseUint(relationID[strings.LastIndexByte(relationID, ':')+1:], 10, 63)
	if err != nil {
		return "", errors.New("relation ID does not end in a number")
	}
	return strconv.FormatUint(number, 10), nil
}
