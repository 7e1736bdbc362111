package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// writeMember writes a member's settings.
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
		"ETCD_PEER_CRL_FILE="+h.tls(peerRevokedFile),
	)
	return h.writeSettings(ctx, lines)
}

// revertMember writes the settings of the server that runs.
func (h *Host) revertMember(ctx context.Context) error {
	state, err := h.supervisor.state(ctx)
	if err != nil {
		return fmt.Errorf("cannot look at service: %w", err)
	}
	if !state.process.alive() {
		return errors.New("no server runs whose settings could be written")
	}
	lines := slices.DeleteFunc(slices.Clone(state.process.env), func(line string) bool {
		return !strings.HasPrefix(line, "ETCD_") && !strings.HasPrefix(line, "CHARM_")
	})
	if config := state.process.config(); config == "" || operator.EnvDigest(lines) != config {
		return errors.New("the settings that the server runs with cannot be read") // it may be about to be one
	}
	return h.writeSettings(ctx, spent(lines))
}

// writeSettings writes what etcdctl needs, the service, and last the settings: settings on disk mean that all is.
func (h *Host) writeSettings(ctx context.Context, lines []string) error {
	slices.Sort(lines)
	env, err := formatEnv(lines)
	if err != nil {
		return err
	}
	release := lookup(lines, "CHARM_RELEASE")
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
	if err := h.linkEtcdctl(release); err != nil {
		return err
	}
	err = h.supervisor.write(ctx, service{
		Kind: operator.MemberService, Unit: h.unitName,
		Argv:    []string{filepath.Join(h.release(release), "etcd")},
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
	lines = spent(lines)
	slices.Sort(lines)
	env, err := formatEnv(lines)
	if err != nil {
		return err
	}
	return writeFiles(file{h.memberEnv(), env, secret, h.adminOwner()})
}

// spent are a server's settings without its first start.
func spent(lines []string) []string {
	peerURL := lookup(lines, "ETCD_INITIAL_ADVERTISE_PEER_URLS")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "ETCD_INITIAL_") })
	return append(lines, operator.Initial{}.Env(peerURL)...)
}

// serviceUser is whom the service runs as; "" is whoever supervises.
func (h *Host) serviceUser() string {
	if h.rooted() {
		return systemUser
	}
	return ""
}
