package host

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// lookTLS describes the certificates on disk, compared with the model's authority where that is
// known.
func (h *Host) lookTLS(m operator.Model) operator.TLS {
	authority := m.Authority.Value
	peerTrust, _ := regular.Read(h.tls(peerTrustFile))
	clientTrust, _ := regular.Read(h.tls(clientTrustFile))
	var peer, client *pki.CA
	if authority != nil {
		peer, client = &authority.Peer, &authority.Client
	}
	t := operator.TLS{
		Trust:  pki.TrustDigest(peerTrust, clientTrust),
		Peer:   h.lookLeaf(peerName, peerTrust, peer),
		Server: h.lookLeaf(serverName, clientTrust, client),
		Admin:  h.lookLeaf(adminName, clientTrust, client),
		Issued: h.lookIssued(),
	}
	t.Revoked, t.Refused.Client = h.lookRevoked(m, authority)
	t.PeerList, t.Refused.Peer = h.lookPeerList()
	return t
}

// lookIssued returns the certificates that this unit has issued to itself, as far as the disk
// knows: those on disk, and those that they replaced. What cannot be read is left out: the
// application's record has what was reported earlier.
func (h *Host) lookIssued() []operator.Issued {
	text, _ := regular.Read(h.tls(issuedFile))
	issued, _ := etcdcluster.DecodeIssued(string(text))
	return etcdcluster.SortIssued(append(issued, h.issuedOnDisk()...))
}

// issuedOnDisk returns the certificates that lie on the disk.
func (h *Host) issuedOnDisk() (issued []operator.Issued) {
	for _, name := range []string{peerName, serverName, adminName} {
		cert, err := regular.Read(h.tls(certFile(name)))
		if err != nil {
			continue
		}
		if info, err := pki.Describe(cert, nil, nil, h.now()); err == nil {
			issued = append(issued, issuedOf(name, info))
		}
	}
	return issued
}

func issuedOf(name string, info pki.LeafInfo) operator.Issued {
	return operator.Issued{
		Kind: operator.LeafKind(name), Serial: info.Serial, End: info.NotAfter.Unix(),
	}
}

func (h *Host) lookLeaf(name string, trust []byte, issuer *pki.CA) operator.Leaf {
	cert, err := readOptional(h.tls(certFile(name)))
	if err != nil {
		return operator.Leaf{Present: true, Problem: err.Error()}
	}
	if cert == nil {
		return operator.Leaf{}
	}
	key, err := regular.Read(h.tls(keyFile(name)))
	if err != nil {
		return operator.Leaf{Present: true, Problem: err.Error()}
	}
	info, err := pki.Describe(cert, key, trust, h.now())
	if err != nil {
		return operator.Leaf{Present: true, Problem: err.Error()}
	}
	leaf := operator.Leaf{
		Present:   true,
		Due:       info.Due || info.NotYetValid,
		SANs:      info.SANs,
		Serial:    info.Serial,
		Signer:    info.SignedBy,
		Remaining: max(info.Remaining, 0),
	}
	switch {
	case !info.KeyMatches:
		leaf.Problem = "its key does not match"
	case info.Expired:
		leaf.Problem = "it expired on " + info.NotAfter.Format(time.DateOnly)
	case !info.Trusted:
		leaf.Problem = "it is not signed by the trusted authorities on disk"
	case issuer != nil && info.SignedBy != issuer.Fingerprint():
		leaf.Problem = "it is signed by another authority"
	}
	return leaf
}

// writeTLS writes what the step names. Trust and lists go first: a leaf of an authority that is not
// trusted yet would cut the member off.
func (h *Host) writeTLS(s operator.WriteTLS) error {
	authority := s.Authority
	if s.Trust {
		err := h.write(
			file{path: h.tls(peerTrustFile), data: authority.TrustPeer},
			file{path: h.tls(clientTrustFile), data: authority.TrustClient})
		if err != nil {
			return err
		}
	}
	// The lists and the leaves do not depend on one another.
	var failed []error
	if s.Revoked != nil {
		failed = append(failed, h.writeRevoked(authority, *s.Revoked))
	}
	for _, leaf := range []struct {
		wanted bool
		name   string
		trust  []byte
		issue  func() (pki.Leaf, error)
	}{
		{s.Peer, peerName, authority.TrustPeer, func() (pki.Leaf, error) {
			return pki.IssuePeer(h.now(), h.random, authority,
				pki.Request{CommonName: s.CommonName, SANs: s.PeerSANs})
		}},
		{s.Server, serverName, authority.TrustClient, func() (pki.Leaf, error) {
			return pki.IssueServer(h.now(), h.random, authority,
				pki.Request{CommonName: s.CommonName, SANs: s.ServerSANs})
		}},
		{s.Admin, adminName, authority.TrustClient, func() (pki.Leaf, error) {
			return pki.IssueAdmin(h.now(), h.random, authority)
		}},
	} {
		if !leaf.wanted {
			continue
		}
		issued, err := leaf.issue()
		if err == nil {
			err = h.writeLeaf(leaf.name, issued, leaf.trust)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// writeLeaf checks a pair and swaps it in. etcd reads both files again for each handshake
// (client/pkg transport, listener.go), so a pair that does not match would cut the member off.
func (h *Host) writeLeaf(name string, leaf pki.Leaf, trust []byte) error {
	key := leaf.Key.PEM()
	info, err := pki.Describe(leaf.CertPEM, key, trust, h.now())
	if err == nil && (!info.KeyMatches || !info.Trusted) {
		err = errors.New("it does not match its key or its authority")
	}
	if err != nil {
		return fmt.Errorf("cannot use new %s certificate: %w", name, err)
	}
	if err := h.noteIssued(issuedOf(name, info)); err != nil {
		return err
	}
	return h.write(
		file{path: h.tls(keyFile(name)), data: key},
		file{path: h.tls(certFile(name)), data: leaf.CertPEM})
}

// noteIssued records certificates before they are used, together with those on the disk. A
// certificate that is replaced stays valid, and this hook may die before it reports either.
func (h *Host) noteIssued(leaves ...operator.Issued) error {
	text := etcdcluster.EncodeIssued(
		operator.StillIssued(append(h.lookIssued(), leaves...), h.now().Unix()))
	return h.write(file{path: h.tls(issuedFile), data: []byte(text)})
}

// issuedNoted reports whether the certificates on the disk are recorded. Those that they replaced
// are not checked here; the application's record knows them.
func (h *Host) issuedNoted() bool {
	text, _ := regular.Read(h.tls(issuedFile))
	noted, err := etcdcluster.DecodeIssued(string(text))
	for _, leaf := range h.issuedOnDisk() {
		if err != nil || leaf.End > h.now().Unix() && !slices.Contains(noted, leaf) {
			return false
		}
	}
	return true
}

// access is how the charm itself connects to members: mutual TLS with the admin certificate. The
// zero value has none.
type access struct {
	cert  *tls.Certificate
	roots *x509.CertPool
	now   func() time.Time
}

// access uses the admin certificate on disk if it is good. A unit that has none yet, or one of
// another authority, issues a temporary one: the files on disk must not decide whether the cluster
// can be seen.
func (h *Host) access(authority *pki.Authority) access {
	a := access{now: h.now}
	trust, _ := regular.Read(h.tls(clientTrustFile))
	if authority != nil {
		trust = append(append([]byte(nil), trust...), authority.TrustClient...)
	}
	a.roots = x509.NewCertPool()
	if !a.roots.AppendCertsFromPEM(trust) {
		return a
	}
	var issuer *pki.CA
	if authority != nil {
		issuer = &authority.Client
	}
	if leaf := h.lookLeaf(adminName, trust, issuer); leaf.Present && leaf.Problem == "" {
		cert, _ := regular.Read(h.tls(certFile(adminName)))
		key, _ := regular.Read(h.tls(keyFile(adminName)))
		if pair, err := tls.X509KeyPair(cert, key); err == nil {
			a.cert = &pair
			return a
		}
	}
	if authority == nil {
		return a
	}
	leaf, err := pki.IssueAdmin(h.now(), h.random, authority)
	if err != nil {
		return a
	}
	if pair, err := tls.X509KeyPair(leaf.CertPEM, leaf.Key.PEM()); err == nil {
		a.cert = &pair
	}
	return a
}

// config returns the TLS settings for one member; shown receives the certificate that the member
// presents.
func (a access) config(shown func(*x509.Certificate)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    a.roots,
		Time:       a.now,
		// Not Certificates: Go sends none of those if the server's hints do not name its issuer.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return a.cert, nil
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) > 0 {
				shown(state.PeerCertificates[0])
			}
			return nil
		},
	}
}
