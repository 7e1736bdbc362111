package load

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Leaf is one of a unit's leaf certificates: server, peer or admin.
func Leaf(ask Ask, unit, leaf string) (*x509.Certificate, error) {
	file, err := leafFile(ask, unit, leaf)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read certificate: %w", err)
	}
	return certificate(string(text))
}

func leafFile(ask Ask, unit, leaf string) (string, error) {
	dir, err := Config(ask, unit)
	return filepath.Join(dir, "tls", leaf+".crt"), err
}

// Age replaces a unit's leaf certificate by one as if issued a year ago, which expires in half an
// hour, or, if early, as if issued while the clock was a month ahead. It reads the authorities
// where Juju 2.9 keeps them.
func Age(ask Ask, unit, leaf string, early bool) error {
	text, err := ask("bag", "cluster:0", "etcd", "--unsafe", "--format", "json")
	if err != nil {
		return err
	}
	var bag map[string]string
	if err := json.Unmarshal([]byte(text), &bag); err != nil {
		return fmt.Errorf("cannot read bag: %w", err)
	}
	role := "client"
	if leaf == "peer" {
		role = "peer"
	}
	ca, err := certificate(bag["authority."+role+"-ca-cert"])
	if err != nil {
		return err
	}
	key, err := x509.ParsePKCS8PrivateKey(decode(bag["authority."+role+"-ca-key"]))
	if err != nil {
		return fmt.Errorf("cannot read the authority's key: %w", err)
	}
	cert, err := Leaf(ask, unit, leaf)
	if err != nil {
		return err
	}
	now := time.Now()
	cert.NotBefore, cert.NotAfter = now.Add(-20*time.Hour), now.Add(30*time.Minute)
	if early {
		cert.NotBefore, cert.NotAfter = now.AddDate(0, 1, 0), now.AddDate(1, 1, 0)
	}
	// A unit's serials have bit 128, which distinguishes them from those of relations on a
	// revocation list.
	if cert.SerialNumber, err = rand.Int(rand.Reader,
		new(big.Int).Lsh(big.NewInt(1), 128)); err != nil {
		return fmt.Errorf("cannot choose a serial: %w", err)
	}
	cert.SerialNumber.SetBit(cert.SerialNumber, 128, 1)
	der, err := x509.CreateCertificate(rand.Reader, cert, ca, cert.PublicKey, key)
	if err != nil {
		return fmt.Errorf("cannot sign: %w", err)
	}
	file, err := leafFile(ask, unit, leaf)
	if err != nil {
		return err
	}
	aged := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return errors.Join(os.WriteFile(file+".new", aged, 0o600), os.Rename(file+".new", file))
}

func certificate(text string) (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(decode(text))
	if err != nil {
		return nil, fmt.Errorf("cannot read certificate: %w", err)
	}
	return cert, nil
}

// decode is the content of the first PEM block; empty if there is none.
func decode(text string) []byte {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	return block.Bytes
}
