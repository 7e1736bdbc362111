package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// memberPaths returns World.Paths.
func (p paths) memberPaths() []string {
	return []string{
		"ETCD_DATA_DIR=" + p.data(),
		"ETCD_CERT_FILE=" + p.tls(certFile(serverName)),
		"ETCD_KEY_FILE=" + p.tls(keyFile(serverName)),
		"ETCD_TRUSTED_CA_FILE=" + p.tls(clientTrustFile),
		"ETCD_CLIENT_CRL_FILE=" + p.tls(revokedFile),
		"ETCD_PEER_CERT_FILE=" + p.tls(certFile(peerName)),
		"ETCD_PEER_KEY_FILE=" + p.tls(keyFile(peerName)),
		"ETCD_PEER_TRUSTED_CA_FILE=" + p.tls(peerTrustFile),
		"ETCD_PEER_CRL_FILE=" + p.tls(peerRevokedFile),
	}
}

// writeMember writes a member's settings.
func (h *Host) writeMember(ctx context.Context, s operator.Server) error {
	lines := append(s.Env(), s.Initial.Env()...)
	return h.writeSettings(ctx, append(lines, operator.ConfigVar+"="+s.Digest()))
}

// revertMember writes the settings with which the running server was started.
func (h *Host) revertMember(ctx context.Context) error {
	state, err := h.supervisor.state(ctx)
	if err != nil {
		return fmt.Errorf("cannot look at service: %w", err)
	}
	if !state.process.alive() {
		return errors.New("no server runs whose settings could be written")
	}
	if config := state.process.config(); config == "" || config == operator.Altered {
		// the process may be about to become a server
		return errors.New("the settings that the server runs with cannot be read")
	}
	return h.writeSettings(ctx, withoutFirstStart(state.process.settings()))
}

// settings is everything that belongs to a member's settings: the files, and the service that reads
// them.
type settings struct {
	env, etcdctl file
	service      service
}

// settingsOf returns the settings that the lines ask for.
func (h *Host) settingsOf(lines []string) (settings, error) {
	slices.Sort(lines)
	env, err := formatEnv(lines)
	if err != nil {
		return settings{}, err
	}
	ctl, err := formatEnv([]string{
		"ETCDCTL_ENDPOINTS=" + ownURL(lines),
		"ETCDCTL_CACERT=" + h.tls(clientTrustFile),
		"ETCDCTL_CERT=" + h.tls(certFile(adminName)),
		"ETCDCTL_KEY=" + h.tls(keyFile(adminName)),
	})
	if err != nil {
		return settings{}, err
	}
	return settings{
		env:     file{path: h.memberEnv(), data: env},
		etcdctl: file{path: h.etcdctlEnv(), data: ctl},
		service: service{
			Kind: operator.MemberService, Unit: h.unitName,
			Argv:    []string{filepath.Join(h.release(lookup(lines, "CHARM_RELEASE")), "etcd")},
			EnvFile: h.memberEnv(), Writable: h.data(), User: h.user,
			Fence: h.fenceOf(lookup(lines, "CHARM_RELEASE")),
		},
	}, nil
}

// fenceOf returns the fence's path for the gate of a release. It returns "" for a release without a
// gate: its program would not know the command, and would keep the server from starting.
func (h *Host) fenceOf(release string) string {
	if !h.linked(release, GateName) {
		return ""
	}
	return h.fence()
}

// writeSettings writes etcdctl's environment, the service, and last the server's settings. A
// failure of etcdctl's environment does not keep the server waiting, because it is only for people.
func (h *Host) writeSettings(ctx context.Context, lines []string) error {
	s, err := h.settingsOf(lines)
	if err != nil {
		return err
	}
	preset := h.presetEtcdctl(s)
	if err := h.supervisor.write(ctx, s.service); err != nil {
		return errors.Join(preset, fmt.Errorf("cannot write service: %w", err))
	}
	return errors.Join(preset, h.write(s.env))
}

// presetEtcdctl lets people on this machine use etcdctl without flags.
func (h *Host) presetEtcdctl(s settings) error {
	return errors.Join(h.write(s.etcdctl), h.linkTools(h.newest(s.service.release())))
}

// lookSettings returns World.WrittenConfig for the lines on disk. Everything that belongs to the
// settings is compared to the last byte.
func (h *Host) lookSettings(lines []string, state serviceState) string {
	s, err := h.settingsOf(slices.Clone(lines))
	if err != nil || !h.stands(s, state) {
		return operator.Altered
	}
	return operator.EnvDigest(lines)
}

// stands reports whether everything that belongs to the settings is on disk.
func (h *Host) stands(s settings, state serviceState) bool {
	return s.env.says() && s.etcdctl.says() &&
		state.intact && reflect.DeepEqual(state.service, s.service)
}

// spendInitial removes the first start from the settings on disk.
func (h *Host) spendInitial() error {
	lines, err := envLines(h.memberEnv())
	if err != nil || lines == nil {
		return err
	}
	lines = withoutFirstStart(lines)
	slices.Sort(lines)
	env, err := formatEnv(lines)
	if err != nil {
		return err
	}
	return h.write(file{path: h.memberEnv(), data: env})
}

// withoutFirstStart returns a server's settings without its first start.
func withoutFirstStart(lines []string) []string {
	var first operator.Initial
	return append(operator.WithoutInitial(lines), first.Env()...)
}
