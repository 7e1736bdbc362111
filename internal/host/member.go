package host

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// writeMember writes what etcdctl needs, the service, and last the settings: settings on disk mean that all is.
func (h *Host) writeMember(ctx context.Context, s operator.Server) error {
	lines := append(s.Env(), s.Initial.Env(s.PeerURL)...)
	lines = append(lines,
		operator.ConfigVar+"="+s.Digest(),
		"ETCD_DATA_DIR="+h.data(),
		"ETCD_CERT_FILE="+h.tls(certFile(serverName)),
		"ETCD_KEY_FILE="+h.tls(keyFile(serverName)),
		"ETCD_TRUSTED_CA_FILE="+h.tls(clientTrustFile),
		"ETCD_CLIENT_CRL_FILE="+h.tls(revokedFile),
		"ETCD_PEER_CERT_FILE="+h.tls(certFile(peerName)),
		"ETCD_PEER_KEY_FILE="+h.tls(keyFile(peerName)),
		"ETCD_PEER_TRUSTED_CA_FILE="+h.tls(peerTrustFile),
	)
	slices.Sort(lines)
	env, err := formatEnv(lines)
	if err != nil {
		return err
	}
	ctl, err := formatEnv([]string{
		"ETCDCTL_ENDPOINTS=" + ownURL(lines),
		"ETCDCTL_CACERT=" + h.tls(clientTrustFile),
		"ETCDCTL_CERT=" + h.tls(certFile(adminName)),
		"ETCDCTL_KEY=" + h.tls(keyFile(adminName)),
	})
	if err != nil {
		return err
	}
	if err := writeFiles(file{h.etcdctlEnv(), ctl, secret, h.adminOwner()}); err != nil {
		return err
	}
	if err := h.linkEtcdctl(s.Release); err != nil {
		return err
	}
	err = h.supervisor.write(ctx, service{
		Kind: operator.MemberService, Unit: h.unitName,
		Argv:    []string{filepath.Join(h.release(s.Release), "etcd")},
		EnvFile: h.memberEnv(), Writable: h.data(), User: h.serviceUser(),
	})
	if err != nil {
		return fmt.Errorf("cannot write service: %w", err)
	}
	return writeFiles(file{h.memberEnv(), env, secret, h.adminOwner()})
}

// spendInitial takes the first start out of the settings on disk.
func (h *Host) spendInitial() error {
	lines, err := envLines(h.memberEnv())
	if err != nil || lines == nil {
		return err
	}
	peerURL := lookup(lines, "ETCD_INITIAL_ADVERTISE_PEER_URLS")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "ETCD_INITIAL_") })
	lines = append(lines, operator.Initial{}.Env(peerURL)...)
	slices.Sort(lines)
	env, err := formatEnv(lines)
	if err != nil {
		return err
	}
	return writeFiles(file{h.memberEnv(), env, secret, h.adminOwner()})
}

// serviceUser is whom the service runs as; "" is whoever supervises.
func (h *Host) serviceUser() string {
	if h.rooted() {
		return systemUser
	}
	return ""
}
