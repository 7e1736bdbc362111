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

// staleList stands for a revocation list whose content is not what it should be.
const staleList = "stale"

// lookRevoked returns which list of ended relations the client port uses: the record's, or the one
// that this hook has written and Juju does not have yet. The file names no relations, so
// lookRevoked compares serials, which are derived from the relations. refused are the serials in
// the file that are not derived: those of units' certificates.
func (h *Host) lookRevoked(
	m operator.Model, authority *pki.Authority,
) (revoked string, refused []string) {
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
		candidates = append(candidates, m.Cluster.Value.AppBag.Revoked)
	}
	for _, ended := range candidates {
		if h.endedDigest(authority, m.UUID, ended) == found {
			return operator.RevokedDigest(ended), refused
		}
	}
	return staleList, refused
}

// lookPeerList reports whether the peer port's list can be read, and returns the serials that it
// refuses.
func (h *Host) lookPeerList() (there bool, refused []string) {
	der, err := regular.Read(h.tls(peerRevokedFile))
	if err != nil {
		return false, nil
	}
	serials, err := pki.RevokedSerials(der)
	return err == nil, texts(serials)
}

// endedDigest returns pki.SerialsDigest of the list's serials; "" if they cannot be derived. It
// caches the digest: a thousand relations take 50 ms, and a hook looks several times.
func (h *Host) endedDigest(
	authority *pki.Authority, modelUUID string, ended []operator.Ended,
) string {
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

func endedSerials(
	authority *pki.Authority, modelUUID string, ended []operator.Ended,
) ([]*big.Int, error) {
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

// writeRevoked writes the lists of both ports. etcd reads them at each connection that it accepts,
// and refuses every client if one is missing. It checks neither the issuer nor the dates of a list.
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

// texts returns the serials in operator's form, sorted.
func texts(serials []*big.Int) []string {
	var out []string
	for _, serial := range serials {
		out = append(out, serial.Text(16))
	}
	slices.Sort(out)
	return out
}
