package living

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

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/juju-charms/etcd-charm/test/load"
)

// leafFile is where a unit's leaf certificate lies.
func (b *bench) leafFile(ts *testscript.TestScript, unit, leaf string) string {
	dir, err := load.Config(b.asker(ts), unit)
	ts.Check(err)
	return filepath.Join(dir, "tls", leaf+".crt")
}

func readLeaf(ts *testscript.TestScript, file string) *x509.Certificate {
	text, err := os.ReadFile(file)
	ts.Check(err)
	cert, err := x509.ParseCertificate(decode(string(text)))
	ts.Check(err)
	return cert
}

// leaf prints what a certificate is for, and for how many whole days.
func (b *bench) leaf(ts *testscript.TestScript, _ bool, args []string) {
	cert := readLeaf(ts, b.leafFile(ts, args[0], args[1]))
	fmt.Fprintln(ts.Stdout(), "names", cert.DNSNames, cert.IPAddresses)
	fmt.Fprintln(ts.Stdout(), "days", int(time.Until(cert.NotAfter).Hours()/24))
}

// age puts in place of a unit's leaf certificate the one that it had issued a year ago, which is over in half an hour, or
// one that it issued while its clock was a month ahead. The authorities are read where Juju 2.9 keeps them.
func (b *bench) age(ts *testscript.TestScript, _ bool, args []string) {
	unit, leaf := args[0], args[1]
	var bag map[string]string
	ts.Check(json.Unmarshal([]byte(b.ask(ts, "bag", "cluster:0", "etcd", "--unsafe", "--format", "json")), &bag))
	role := "client"
	if leaf == "peer" {
		role = "peer"
	}
	ca, err := x509.ParseCertificate(decode(bag["authority."+role+"-ca-cert"]))
	ts.Check(err)
	key, err := x509.ParsePKCS8PrivateKey(decode(bag["authority."+role+"-ca-key"]))
	ts.Check(err)

	file := b.leafFile(ts, unit, leaf)
	cert := readLeaf(ts, file)
	now := time.Now()
	cert.NotBefore, cert.NotAfter = now.Add(-20*time.Hour), now.Add(30*time.Minute)
	if args[2] == "early" {
		cert.NotBefore, cert.NotAfter = now.AddDate(0, 1, 0), now.AddDate(1, 1, 0)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	ts.Check(err)
	cert.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, cert, ca, cert.PublicKey, key)
	ts.Check(err)
	aged := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	ts.Check(errors.Join(os.WriteFile(file+".new", aged, 0o600), os.Rename(file+".new", file)))
}

// decode is what the first block of PEM holds; empty if there is none.
func decode(text string) []byte {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	return block.Bytes
}
