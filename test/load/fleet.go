package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/juju/charm/v12"
)

// Ask runs a verb of juju-sim and returns what it prints, without the space around it.
type Ask func(words ...string) (string, error)

// Unit is what status says of one unit.
type Unit struct {
	Address string `json:"public-address"`
}

// Units are the units of application etcd by name.
func Units(ask Ask) (map[string]Unit, error) {
	text, err := ask("status", "--format", "json")
	if err != nil {
		return nil, err
	}
	var status struct {
		Applications map[string]struct {
			Units map[string]Unit `json:"units"`
		} `json:"applications"`
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		return nil, fmt.Errorf("cannot read status: %w", err)
	}
	return status.Applications["etcd"].Units, nil
}

// Config is the directory of a unit's settings and certificates.
func Config(ask Ask, unit string) (string, error) {
	root, err := ask("root", unit)
	return filepath.Join(root, "etc/etcd-charm", strings.ReplaceAll(unit, "/", "-")), err
}

// Trust is the TLS settings of an administrator of a unit, with which the members can be reached.
// read reads the unit's files by their names below tls.
func Trust(read func(name string) ([]byte, error)) (*tls.Config, error) {
	var files [3][]byte
	for i, name := range []string{"admin.crt", "admin.key", "client-ca.crt"} {
		data, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", name, err)
		}
		files[i] = data
	}
	pair, err := tls.X509KeyPair(files[0], files[1])
	if err != nil {
		return nil, fmt.Errorf("cannot use the certificate: %w", err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		RootCAs:      x509.NewCertPool(),
		MinVersion:   tls.VersionTLS12,
	}
	config.RootCAs.AppendCertsFromPEM(files[2])
	return config, nil
}

// Members are the members of etcd, reached with the certificate of a unit that has not left yet,
// chosen for each connection: a unit that leaves removes its keys and is refused from then on.
func Members(ask Ask) (Target, error) {
	units, err := Units(ask)
	if err != nil {
		return Target{}, err
	}
	port, err := ask("config", "etcd", "port")
	if err != nil {
		return Target{}, err
	}
	var t Target
	var dirs []string
	for _, unit := range slices.Sorted(maps.Keys(units)) {
		u := units[unit]
		t.Endpoints = append(t.Endpoints, "https://"+net.JoinHostPort(u.Address, port))
		dir, err := Config(ask, unit)
		if err != nil {
			return Target{}, err
		}
		t.TLS, err = Trust(func(name string) ([]byte, error) {
			return os.ReadFile(filepath.Join(dir, "tls", name))
		})
		if err != nil {
			return Target{}, fmt.Errorf("cannot be an administrator of %s: %w", unit, err)
		}
		dirs = append(dirs, filepath.Join(dir, "tls"))
	}
	slices.Sort(t.Endpoints)
	if t.TLS != nil {
		t.TLS.Certificates = nil
		t.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return present(dirs)
		}
	}
	return t, nil
}

// present is the administrator's certificate of the first unit that has one, of the units in dirs
// or of one that came later.
func present(dirs []string) (*tls.Certificate, error) {
	if len(dirs) > 0 {
		// A unit's machine is a directory beside those of the others.
		later, err := filepath.Glob(
			filepath.Join(dirs[0], "../../../../..", "*/etc/etcd-charm/etcd-*/tls"),
		)
		if err != nil {
			return nil, err
		}
		dirs = append(slices.Clone(dirs), later...)
	}
	err := errors.New("there is no unit")
	for _, dir := range dirs {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(
			filepath.Join(dir, "admin.crt"), filepath.Join(dir, "admin.key"),
		); err == nil {
			return &pair, nil
		}
	}
	return nil, err
}

// Leader is the unit whose member is the raft leader.
func Leader(ctx context.Context, ask Ask) (string, error) {
	t, err := Members(ask)
	if err != nil {
		return "", err
	}
	return t.Leader(ctx)
}

// Leader is the unit whose member is the raft leader.
func (t Target) Leader(ctx context.Context) (string, error) {
	// a sync changes the endpoints, which Status reads without a lock (etcd client.go, dial)
	t.Fixed = true
	c, err := t.Client()
	if err != nil {
		return "", err
	}
	defer c.Close()
	list, err := c.MemberList(ctx)
	if err != nil {
		return "", fmt.Errorf("cannot list members: %w", err)
	}
	var all error
	for _, endpoint := range t.Endpoints {
		status, err := c.Status(ctx, endpoint)
		if err != nil {
			all = errors.Join(all, err)
			continue
		}
		for _, m := range list.Members {
			if m.ID == status.Leader {
				return "etcd/" + strings.TrimPrefix(m.Name, "etcd"), nil
			}
		}
	}
	return "", errors.Join(errors.New("nobody knows who leads"), all)
}

// NextRelease unpacks the charm into dir with another binary. It does the same, but its stamp says
// that its server and its proxy are others, so a refresh restarts both.
func NextRelease(archive, dir string) error { return rebuilt(archive, dir, "next", true) }

// NextBuild unpacks the charm into dir with another binary whose stamp says that its server and its
// proxy are the same, as in a charm that differs in anything else.
func NextBuild(archive, dir string) error { return rebuilt(archive, dir, "same", false) }

// stamped is the stamp of server and proxy, as the linker writes it (internal/stamp).
var stamped = regexp.MustCompile("s[0-9a-f]{12}-p[0-9a-f]{12}")

// rebuilt unpacks the charm into dir. Its binary's build ID, which distinguishes releases, ends
// in the four letters given.
func rebuilt(archive, dir, letters string, others bool) error {
	read, err := charm.ReadCharmArchive(archive)
	if err == nil {
		err = errors.Join(os.MkdirAll(dir, 0o700), read.ExpandTo(dir))
	}
	if err != nil {
		return fmt.Errorf("cannot unpack %s: %w", archive, err)
	}
	path := filepath.Join(dir, "bin", "etcd-charm")
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot change the binary: %w", err)
	}
	program, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("cannot read the binary: %w", err)
	}
	id := program.Section(".note.gnu.build-id")
	if id == nil {
		return errors.New("the binary has no build ID")
	}
	copy(text[id.Offset+id.Size-4:], letters)
	switch {
	case others: // without a stamp it equals no other
		text = stamped.ReplaceAll(text, []byte("sffffffffffff-pffffffffffff"))
	case !stamped.Match(text):
		return errors.New(
			"the binary does not say which server and proxy are in it: it was not built by make charm",
		)
	}
	return os.WriteFile(path, text, 0o700) //nolint:gosec // it is a program
}
