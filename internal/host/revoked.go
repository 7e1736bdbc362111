package host

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// staleList stands for a revocation list that says something else than it should.
const staleList = "stale"

// lookRevoked tells which list of ended relations the client port's is: the record's, or the one written in this hook,
// which Juju does not have yet. It is compared by the serials, which are derived: the file says nothing of relations. refused
// are the serials on it that are not derived: units' certificates.
func (h *Host) lookRevoked(m operator.Model, authority *pki.Authority) (revoked string, refused []string) {
	der, err := readOptional(h.tls(revokedFile))
	if err != nil {
		return staleList, nil
	}
	if der == nil {
		return "", nil
	}
	serials, err := pki.RevokedSerials(der)
	if err != nil {
		return staleList, nil
	}
	var derived, others []*big.Int
	for _, serial := range serials {
		if pki.Derived(serial) {
			derived = append(derived, serial)
		} else {
			others = append(others, serial)
		}
	}
	refused = texts(others)
	if authority == nil {
		return staleList, refused
	}
	found := pki.SerialsDigest(derived)
	h.mu.Lock()
	candidates := [][]operator.Ended{h.revoked}
	h.mu.Unlock()
	if m.Cluster.OK {
		candidates = append(candidates, m.Cluster.Value.Record.Revoked)
	}
	for _, ended := range candidates {
		if h.endedDigest(authority, m.UUID, ended) == found {
			return operator.RevokedDigest(ended), refused
		}
	}
	return staleList, refused
}

// lookPeerList reports whether the peer port's list can be read, and whom it refuses.
func (h *Host) lookPeerList() (there bool, refused []string) {
	der, err := regular.Read(h.tls(peerRevokedFile))
	if err != nil {
		return false, nil
	}
	serials, err := pki.RevokedSerials(der)
	return err == nil, texts(serials)
}

// endedDigest is pki.SerialsDigest of the list's serials; "" if they cannot be derived. A thousand relations take
// 50 ms, and a hook looks several times.
func (h *Host) endedDigest(authority *pki.Authority, modelUUID string, ended []operator.Ended) string {
	key := authority.Client.Fingerprint() + modelUUID + operator.RevokedDigest(ended)
	h.mu.Lock()
	known, ok := h.derived[key]
	h.mu.Unlock()
	if ok {
		return known
	}
	digest := ""
	if serials, err := endedSerials(authority, modelUUID, ended); err == nil {
		digest = pki.SerialsDigest(serials)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.derived[key] = digest
	return digest
}

func endedSerials(authority *pki.Authority, modelUUID string, ended []operator.Ended) ([]*big.Int, error) {
	var all []*big.Int
	for _, e := range ended {
		serials, err := pki.SerialsOf(authority.Client, modelUUID, e.RelationID, e.Generation, e.Period)
		if err != nil {
			return nil, err
		}
		all = append(all, serials...)
	}
	return all, nil
}

// writeRevoked writes the lists of both ports. etcd reads them at each connection that it accepts, and refuses everybody
// where one is missing; it looks at neither issuer nor dates.
func (h *Host) writeRevoked(authority *pki.Authority, revoked operator.Revoked) error {
	serials, err := endedSerials(authority, revoked.ModelUUID, revoked.Relations)
	if err == nil {
		err = h.writeList(revokedFile, authority.Client, serials, revoked.Client)
	}
	if err != nil {
		err = fmt.Errorf("cannot write revocation list: %w", err)
	} else {
		h.mu.Lock()
		h.revoked = revoked.Relations
		h.mu.Unlock()
	}
	peers := h.writeList(peerRevokedFile, authority.Peer, nil, revoked.Peer)
	if peers != nil {
		peers = fmt.Errorf("cannot write revocation list for peers: %w", peers)
	}
	return errors.Join(err, peers)
}

// writeList writes the list of one port.
func (h *Host) writeList(name string, ca pki.CA, serials []*big.Int, refused []string) error {
	for _, text := range refused {
		serial, ok := new(big.Int).SetString(text, 16)
		if !ok {
			return errors.New("a serial is not hexadecimal")
		}
		serials = append(serials, serial)
	}
	der, err := pki.CRL(ca, serials, h.now())
	if err != nil {
		return err
	}
	return h.write(file{path: h.tls(name), data: der})
}

// texts are serials as operator has them, sorted.
func texts(serials []*big.Int) []string {
	var out []string
	for _, serial := range serials {
		out = append(out, serial.Text(16))
	}
	slices.Sort(out)
	return out
}
