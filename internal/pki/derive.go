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
	"sync"
	"time"

	"github.com/juju-charms/etcd-charm/interfaces/credentials"
)

// A derived certificate belongs to a period of 90 days, counted from the Unix epoch. It is valid
// from the start of the period before to 365 days after the start of its own. It begins early
// because a unit whose clock is ahead publishes it early, and a consumer's clock may be behind. If
// it began any earlier, a certificate could be valid that SerialsOf does not name.
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

// derivation separates these keys from any other use of HKDF with the CA's key. A change of it, or
// of anything below, changes every consumer's certificate at the next upgrade, and the CRL can no
// longer name the old ones: add a version instead.
const derivation = "etcd-charm/derived-client/v2"

// PeriodOf returns the number of the 90-day period that contains now, negative before 1970.
func PeriodOf(now time.Time) int64 {
	seconds := now.Unix()
	period := seconds / periodSeconds
	if seconds%periodSeconds < 0 {
		period--
	}
	return period
}

// Credentials returns what the consumer of one relation is given in one period. Nothing in them is
// random: every unit that has the client CA computes the same bytes. Key and serial are
// HKDF-SHA-256 of the CA's key. The dates are those of the period, cut at the CA's end. The common
// name is the relation's user, which is its whole ID ("proxy:12"). There are no SANs, because
// etcd's peer port would compare them with the caller's address.
//
// The first generation is 1. A relation that comes back after its credentials were
// revoked needs the next one, whose key and serials are others.
//
// Derived credentials are remembered: a signature and its check cost time, and a hook asks for the
// same ones several times.
func (a *Authority) Credentials(
	modelUUID, relationID string, generation int, period int64,
) (credentials.Credentials, error) {
	of := derivedOf{modelUUID, relationID, generation, period}
	if c, known := a.derived.find(of); known {
		return c, nil
	}
	cert, key, err := a.derive(of)
	if err != nil {
		return credentials.Credentials{}, fmt.Errorf("cannot derive client certificate: %w", err)
	}
	c := credentials.Credentials{
		Cert: string(encodeCertificates(cert)),
		Key:  string(key.PEM()),
		CA:   string(a.TrustClient),
	}
	a.derived.keep(of, c)
	return c, nil
}

func (a *Authority) derive(of derivedOf) (*x509.Certificate, PrivateKey, error) {
	fail := func(err error) (*x509.Certificate, PrivateKey, error) { return nil, PrivateKey{}, err }
	parent, err := a.Client.certificate()
	if err != nil {
		return fail(err)
	}
	source, err := newSource(a.Client, of.modelUUID, of.relationID, of.generation)
	if err != nil {
		return fail(err)
	}
	if of.period < 0 || of.period > maxPeriod {
		return fail(fmt.Errorf("period %d is out of range", of.period))
	}
	start := time.Unix(of.period*periodSeconds, 0).UTC()
	from, until := start.Add(-derivedBackdate), start.Add(derivedLifetime)
	if until.After(parent.NotAfter) {
		until = parent.NotAfter
	}
	if !start.Before(until) {
		return fail(fmt.Errorf("CA ends before period %d", of.period))
	}
	key, err := sampleKey(func(try int) ([]byte, error) {
		return source.expand("key", of.period, try, 32)
	})
	if err != nil {
		return fail(err)
	}
	serial, err := source.serial(of.period)
	if err != nil {
		return fail(err)
	}
	cert, err := sign(&x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{organization}, CommonName: of.relationID},
		NotBefore:             from,
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, parent, key, a.Client.Key)
	return cert, key, err
}

// derivedOf is what credentials are derived from, besides the authority.
type derivedOf struct {
	modelUUID, relationID string
	generation            int
	period                int64
}

// derivations are the credentials that an authority has derived so far.
type derivations struct {
	mu    sync.Mutex
	known map[derivedOf]credentials.Credentials
}

func (d *derivations) find(of derivedOf) (credentials.Credentials, bool) {
	if d == nil { // of the zero Authority
		return credentials.Credentials{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c, known := d.known[of]
	return c, known
}

func (d *derivations) keep(of derivedOf, c credentials.Credentials) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known[of] = c
}

// SerialsOf returns the serials, for the CRL, of every certificate that a relation which ended in a
// period may have had in one generation and that was valid then. These are the serials of the four
// periods before it, of the period itself, and of the next, which a unit whose clock was ahead may
// have published. They are those of this CA only: while its predecessor is trusted, ask for that
// one's serials too.
func SerialsOf(
	client CA, modelUUID, relationID string, generation int, endedPeriod int64,
) ([]*big.Int, error) {
	source, err := newSource(client, modelUUID, relationID, generation)
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

// source derives what belongs to one generation of one relation.
type source struct {
	secret  []byte // HKDF's pseudorandom key
	context []byte
}

func newSource(client CA, modelUUID, relationID string, generation int) (source, error) {
	switch {
	case modelUUID == "":
		return source{}, errors.New("model UUID is empty")
	case !isRelationID(relationID):
		return source{}, errors.New("relation ID is not that of an endpoint")
	case generation < 1:
		return source{}, fmt.Errorf("generation %d is out of range", generation)
	}
	raw, err := client.Key.raw()
	if err != nil {
		return source{}, err
	}
	secret, err := hkdf.Extract(sha256.New, raw, []byte(derivation))
	if err != nil {
		return source{}, fmt.Errorf("cannot extract: %w", err)
	}
	context := append(lengthPrefixed(modelUUID), lengthPrefixed(relationID)...)
	return source{
		secret:  secret,
		context: binary.BigEndian.AppendUint64(context, uint64(generation)),
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

// serial is 127 bits long, 126 of them derived: bit 126 is always set, so that the serial is never
// zero and never a random one.
func (s source) serial(period int64) (*big.Int, error) {
	out, err := s.expand("serial", period, 0, 16)
	if err != nil {
		return nil, err
	}
	n := new(big.Int).SetBytes(out)
	return n.SetBit(n.SetBit(n, 127, 0), 126, 1), nil
}

// isRelationID reports whether the text is a relation's ID in Juju's form: an endpoint, a colon and
// a number. Each relation has only one such text, because the user and the key depend on it. It
// fits into a common name.
func isRelationID(text string) bool {
	endpoint, number, _ := strings.Cut(text, ":")
	n, err := strconv.ParseUint(number, 10, 31)
	return err == nil && strconv.FormatUint(n, 10) == number && len(text) <= maxNameRunes &&
		endpoint != "" && strings.Trim(endpoint, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
