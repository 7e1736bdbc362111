package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/juju/charm/v12"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Ask runs a verb of juju-sim and returns what it prints, without the space around it.
type Ask func(words ...string) (string, error)

// Unit is what status says of one.
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

// Config is where a unit's settings and certificates lie.
func Config(ask Ask, unit string) (string, error) {
	root, err := ask("root", unit)
	return filepath.Join(root, "etc/etcd-charm", strings.ReplaceAll(unit, "/", "-")), err
}

// Members are the members of etcd, as the certificate of one of them opens them.
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
	for unit, u := range units {
		t.Endpoints = append(t.Endpoints, "https://"+net.JoinHostPort(u.Address, port))
		dir, err := Config(ask, unit)
		if err != nil {
			return Target{}, err
		}
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls", "admin.crt"), filepath.Join(dir, "tls", "admin.key"))
		if err != nil {
			return Target{}, fmt.Errorf("cannot use the certificate of %s: %w", unit, err)
		}
		bundle, err := os.ReadFile(filepath.Join(dir, "tls", "client-ca.crt"))
		if err != nil {
			return Target{}, fmt.Errorf("cannot read whom %s trusts: %w", unit, err)
		}
		t.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		t.TLS.RootCAs.AppendCertsFromPEM(bundle)
	}
	slices.Sort(t.Endpoints)
	return t, nil
}

// Leader is the unit that leads by raft's reckoning.
func Leader(ctx context.Context, ask Ask) (string, error) {
	t, err := Members(ask)
	if err != nil {
		return "", err
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: t.Endpoints, TLS: t.TLS, Logger: zap.NewNop()})
	if err != nil {
		return "", fmt.Errorf("cannot open client: %w", err)
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

// NextRelease unpacks the charm into dir with another binary: one that does the same and has another build ID, by which
// releases are told apart.
func NextRelease(archive, dir string) error {
	read, err := charm.ReadCharmArchive(archive)
	if err == nil {
		err = errors.Join(os.MkdirAll(dir, 0o700), read.ExpandTo(dir))
	}
	if err != nil {
		return fmt.Errorf("cannot unpack %s: %w", archive, err)
	}
	binary, err := os.OpenFile(filepath.Join(dir, "bin", "etcd-charm"), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("cannot change the binary: %w", err)
	}
	defer binary.Close()
	program, err := elf.NewFile(binary)
	if err != nil {
		return fmt.Errorf("cannot read the binary: %w", err)
	}
	id := program.Section(".note.gnu.build-id")
	if id == nil {
		return errors.New("the binary has no build ID")
	}
	_, err = binary.WriteAt([]byte("next"), int64(id.Offset+id.Size)-4) //nolint:gosec // a file's offset
	return err
}
