package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/interfaces/address"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// maxConfigBytes bounds the configuration file; a thousand members fit.
const maxConfigBytes = 1 << 20

// Config is what the proxy's configuration file says. Unknown keys in the file
// are errors.
type Config struct {
	// Listen holds the addresses ("host:port") that accept plaintext clients. A change of Listen,
	// Also or Socket takes effect only at the next start.
	Listen []string `yaml:"listen,omitempty"`
	// Also holds further addresses. One that cannot be listened on is left out: a machine may have
	// no IPv6.
	Also []string `yaml:"also,omitempty"`
	// Socket is a unix socket, beside the addresses or instead of them. The zero value is none.
	Socket Socket `yaml:"socket,omitempty"`
	// Members are the members to choose from. If there are none, every client is turned away until
	// the file names some.
	Members []Member `yaml:"members,omitempty"`
	// Credentials are the files for mutual TLS. The zero value means none:
	// only members with http URLs can then be reached.
	Credentials Credentials `yaml:"credentials,omitempty"`
	// Learned is the file in which the proxy keeps the members that it learned from
	// the cluster, for its next start. Empty keeps nothing. A change takes effect
	// only at the next start.
	Learned string `yaml:"learned,omitempty"`
}

// judge is the judge of addresses. If the file itself names an address near this machine, its
// writer means it, so such addresses may be dialled.
func (c Config) judge() address.Judge {
	j := address.Judge{Listens: slices.Concat(c.Listen, c.Also)}
	if name, err := os.Hostname(); err == nil {
		j.Names = []string{name}
	}
	for _, m := range c.Members {
		for _, text := range []string{m.PeerURL, m.ClientURL} {
			if u, err := parseURL(text); err == nil {
				j.Near = append(j.Near, u.Hostname())
			}
		}
	}
	return j
}

// Socket is a unix socket for the users of one group.
type Socket struct {
	// Path is the socket's absolute path. Its directory exists.
	Path string `yaml:"path"`
	// Group is the group's name.
	Group string `yaml:"group"`
}

// Member is one member of the cluster. One of the URLs may be empty.
type Member struct {
	// Name is the member's name as etcd knows it; used for matching and logs.
	Name string `yaml:"name"`
	// PeerURL is where members talk to each other, "https://10.0.0.5:2380".
	PeerURL string `yaml:"peer_url,omitempty"`
	// ClientURL is where clients are served. Empty means: ask the peer URL.
	ClientURL string `yaml:"client_url,omitempty"`
}

// Credentials name three PEM files: all of them or none.
type Credentials struct {
	// CA holds the certificates that may sign a member's certificate.
	CA string `yaml:"ca,omitempty"`
	// Cert is the client certificate, leaf first.
	Cert string `yaml:"cert,omitempty"`
	// Key is the private key of Cert.
	Key string `yaml:"key,omitempty"`
}

// ReadConfig reads and checks the configuration file at path.
func ReadConfig(path string) (Config, error) {
	f, err := regular.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("cannot read proxy configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return Config{}, fmt.Errorf("cannot read proxy configuration: %w", err)
	}
	return ParseConfig(data)
}

// ParseConfig decodes and checks a configuration file's content.
func ParseConfig(data []byte) (Config, error) {
	if len(data) > maxConfigBytes {
		return Config{}, fmt.Errorf("cannot use proxy configuration: larger than %d bytes",
			maxConfigBytes)
	}
	var c Config
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("cannot decode proxy configuration: %w", err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("cannot decode proxy configuration: more than one document")
	}
	if err := c.check(); err != nil {
		return Config{}, fmt.Errorf("cannot use proxy configuration: %w", err)
	}
	return c, nil
}

func (c Config) check() error {
	if len(c.Listen) == 0 && c.Socket == (Socket{}) {
		return errors.New("no listen address")
	}
	if c.Socket != (Socket{}) && (!filepath.IsAbs(c.Socket.Path) || c.Socket.Group == "") {
		return errors.New("a socket needs an absolute path and a group")
	}
	for _, a := range slices.Concat(c.Listen, c.Also) {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("listen address %q: %w", a, err)
		}
	}
	for i, m := range c.Members {
		if m.PeerURL == "" && m.ClientURL == "" {
			return fmt.Errorf("member %d (%q) has no URL", i, m.Name)
		}
		for _, u := range []string{m.PeerURL, m.ClientURL} {
			if u == "" {
				continue
			}
			if _, err := parseURL(u); err != nil {
				return fmt.Errorf("member %d (%q): %w", i, m.Name, err)
			}
		}
	}
	return c.Credentials.check()
}

func (c Credentials) check() error {
	all := c.CA != "" && c.Cert != "" && c.Key != ""
	if all || c == (Credentials{}) {
		return nil
	}
	return errors.New("credentials need ca, cert and key, or none of them")
}

// parseURL accepts what etcd accepts as a member's URL: scheme and host, with
// or without a port, and no path.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("URL cannot be parsed: %w", err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("URL %q is neither http nor https", u.Redacted())
	case u.Hostname() == "":
		return nil, fmt.Errorf("URL %q has no host", u.Redacted())
	case u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("URL %q has more than scheme, host and port", u.Redacted())
	}
	return u, nil
}
