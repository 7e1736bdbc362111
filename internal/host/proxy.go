package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// ProxyConfig returns the path of the configuration file that the proxy watches.
func (h *Host) ProxyConfig() string { return h.proxyConfig() }

// proxyFile is the content of the proxy's configuration file; package proxy reads it. A test keeps
// the two alike.
type proxyFile struct {
	Listen      []string          `yaml:"listen,omitempty"`
	Also        []string          `yaml:"also,omitempty"`
	Socket      *proxySocket      `yaml:"socket,omitempty"`
	Members     []proxyMember     `yaml:"members,omitempty"`
	Credentials *proxyCredentials `yaml:"credentials,omitempty"`
	Learned     string            `yaml:"learned"`
}

type proxySocket struct {
	Path  string `yaml:"path"`
	Group string `yaml:"group"`
}

type proxyMember struct {
	Name      string `yaml:"name"`
	PeerURL   string `yaml:"peer_url,omitempty"`
	ClientURL string `yaml:"client_url,omitempty"`
}

type proxyCredentials struct {
	CA   string `yaml:"ca"`
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// writeProxy writes the credentials, etcdctl's environment, the service and its environment, and
// last the configuration, which names them.
func (h *Host) writeProxy(ctx context.Context, u operator.Upstream) error {
	if len(u.URLs()) == 0 {
		return errors.New("cannot write proxy: no address to listen on")
	}
	config := listening(u)
	config.Learned = h.learned()
	for _, m := range u.Members {
		config.Members = append(config.Members, proxyMember(m))
	}
	credentials := proxyCredentials{
		CA:   h.tls(upstreamTrustFile),
		Cert: h.tls(certFile(upstreamName)),
		Key:  h.tls(keyFile(upstreamName)),
	}
	have := []bool{u.Cert != "", u.Key != "", u.CA != ""}
	if have[0] != have[1] || have[0] != have[2] {
		return errors.New("cannot write proxy: only part of the credentials is there")
	}
	if have[0] {
		config.Credentials = &credentials
		err := h.write(
			file{path: credentials.CA, data: []byte(u.CA)},
			file{path: credentials.Key, data: []byte(u.Key)},
			file{path: credentials.Cert, data: []byte(u.Cert)})
		if err != nil {
			return err
		}
	}
	server, err := h.serverOwner()
	if err == nil {
		err = directory(h.learnedDir(), 0o700, server)
	}
	if err != nil {
		return fmt.Errorf("cannot write proxy: %w", err)
	}
	s, err := h.proxySettings(u)
	if err != nil {
		return err
	}
	if err := h.supervisor.write(ctx, s.service); err != nil {
		return errors.Join(h.presetEtcdctl(s), fmt.Errorf("cannot write service: %w", err))
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("cannot encode proxy configuration: %w", err)
	}
	err = h.write(s.env, file{path: h.proxyConfig(), data: data})
	err = errors.Join(err, h.presetEtcdctl(s))
	if err != nil || config.Credentials != nil {
		return err
	}
	// Credentials that the configuration no longer names come from a relation that is gone.
	for _, path := range []string{credentials.CA, credentials.Cert, credentials.Key} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove credentials: %w", err)
		}
	}
	return nil
}

// listening returns the part of the file that says where the proxy listens.
func listening(u operator.Upstream) proxyFile {
	config := proxyFile{Listen: u.Listen, Also: u.Also()}
	if u.Socket != (operator.Socket{}) {
		config.Socket = &proxySocket{u.Socket.Path, u.Socket.Group}
	}
	return config
}

// proxySettings returns the settings with which the proxy's process is started, and everything that
// belongs to them.
func (h *Host) proxySettings(u operator.Upstream) (settings, error) {
	env, err := formatEnv(append(u.Env(), operator.ConfigVar+"="+u.ProcessDigest()))
	if err != nil {
		return settings{}, err
	}
	ctl, err := formatEnv([]string{"ETCDCTL_ENDPOINTS=" + u.Endpoint()})
	if err != nil {
		return settings{}, err
	}
	run := ""
	if u.Socket != (operator.Socket{}) {
		run = h.runDir()
	}
	return settings{
		env:     file{path: h.proxyEnv(), data: env},
		etcdctl: file{path: h.etcdctlEnv(), data: ctl},
		service: service{
			Kind: operator.ProxyService, Unit: h.unitName,
			Argv:    []string{h.binary(u.Release), "proxy", "--config", h.proxyConfig()},
			EnvFile: h.proxyEnv(), User: h.user, RunDir: run, Group: u.Socket.Group,
			Writable: "-" + h.learnedDir(), // "-": systemd also starts the service without the directory
		},
	}, nil
}

// lookProxy reads back what writeProxy wrote. If anything differs from what writeProxy would write,
// Written stays empty, and the files are written again.
func (h *Host) lookProxy(state serviceState) operator.ProxyFiles {
	var files operator.ProxyFiles
	if state.Kind != operator.ProxyService {
		return operator.ProxyFiles{}
	}
	data, _ := regular.Read(h.proxyConfig())
	var config proxyFile
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&config); err != nil {
		return operator.ProxyFiles{} // it is written again
	}
	u := operator.Upstream{Release: state.release(), Listen: config.Listen}
	if config.Socket != nil {
		u.Socket = operator.Socket(*config.Socket)
	}
	for _, m := range config.Members {
		u.Members = append(u.Members, operator.UpstreamMember(m))
	}
	if c := config.Credentials; c != nil {
		for path, text := range map[string]*string{c.CA: &u.CA, c.Cert: &u.Cert, c.Key: &u.Key} {
			data, err := regular.Read(path)
			if err != nil {
				return operator.ProxyFiles{} // they are written again
			}
			*text = string(data)
		}
		if info, err := pki.Describe([]byte(u.Cert), nil, nil, h.now()); err == nil {
			files.CertRemaining, files.CertLife = info.Remaining, info.Life
		}
	}
	if again, err := yaml.Marshal(config); err != nil || !bytes.Equal(again, data) ||
		len(u.URLs()) == 0 || !slices.Equal(config.Also, u.Also()) || config.Learned != h.learned() {
		return files // it is written again
	}
	if s, err := h.proxySettings(u); err != nil || !h.stands(s, state) {
		return files // they are written again
	}
	files.Written = u.Digest()
	return files
}
