package living

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

// age issues a leaf as the unit did a year ago, less half an hour, or as one whose clock is ahead did, and puts it in place of the one
// it has. The authorities are read where Juju 2.9 keeps them.
func (b *bench) age(ts *testscript.TestScript, _ bool, args []string) {
	var bag map[string]string
	ts.Check(json.Unmarshal([]byte(b.ask(ts, "bag", "cluster:0", "etcd", "--unsafe", "--format", "json")), &bag))
	content := map[string]string{}
	for key, value := range bag {
		content[strings.TrimPrefix(key, "authority.")] = value
	}
	authority, err := pki.DecodeAuthority(content)
	ts.Check(err)
	unit, leaf := args[0], args[1]
	dir := filepath.Join(b.ask(ts, "root", unit), "etc/etcd-charm", strings.ReplaceAll(unit, "/", "-"), "tls")
	old, err := os.ReadFile(filepath.Join(dir, leaf+".crt"))
	ts.Check(err)
	oldKey, err := os.ReadFile(filepath.Join(dir, leaf+".key"))
	ts.Check(err)
	info, err := pki.Describe(old, oldKey, nil, time.Now())
	ts.Check(err)
	then := map[string]time.Time{"due": time.Now().Add(30*time.Minute - 365*24*time.Hour), "early": time.Now().AddDate(0, 1, 0)}[args[2]]
	issue := map[string]func() (pki.Leaf, error){
		"peer": func() (pki.Leaf, error) {
			return pki.IssuePeer(then, rand.Reader, authority, pki.Request{CommonName: strings.ReplaceAll(unit, "/", ""), SANs: info.SANs})
		},
		"server": func() (pki.Leaf, error) {
			return pki.IssueServer(then, rand.Reader, authority, pki.Request{CommonName: strings.ReplaceAll(unit, "/", ""), SANs: info.SANs})
		},
		"admin": func() (pki.Leaf, error) { return pki.IssueAdmin(then, rand.Reader, authority) },
	}[leaf]
	aged, err := issue()
	ts.Check(err)
	ts.Check(errors.Join(
		os.WriteFile(filepath.Join(dir, leaf+".key"), aged.Key.PEM(), 0o600),
		os.WriteFile(filepath.Join(dir, leaf+".crt"), aged.CertPEM, 0o600),
	))
}
