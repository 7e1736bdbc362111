package system

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// startCluster is "cluster NAME SIZE [http]": a cluster that another charm might operate, with one
// CA for peers and clients, or without TLS, started from $CHARM's binary. It ends with the script.
// It makes NAME/bag.yaml, what that charm would publish, and variants of it with one fault each.
func startCluster(ts *testscript.TestScript, _ bool, args []string, bin string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	c := foreign{dir: dir, plain: slices.Contains(args[2:], "http")}
	if c.ca, err = newAuthority(); err != nil {
		ts.Check(err)
	}
	for i := range size {
		c.ips = append(c.ips, freeIP(ts))
		ts.Setenv(fmt.Sprintf("%s_%d", strings.ToUpper(args[0]), i), c.ips[i])
	}
	for i := range size {
		flags, err := c.flags(i)
		ts.Check(err)
		start(ts, exec.Command(filepath.Join(bin, "etcd"), flags...), filepath.Join(dir, c.name(i)+".log")) //nolint:gosec // our own binary
	}
	ts.Check(c.publish())
	var health []string
	for i := range size {
		health = append(health, c.url(i, 2379))
	}
	health = []string{bin + "/etcdctl", "endpoint", "health", "--endpoints", strings.Join(health, ",")}
	if !c.plain {
		health = append(health, "--cacert", dir+"/m0-ca", "--cert", dir+"/m0-cert", "--key", dir+"/m0-key")
	}
	eventually(ts, false, health)
}

// start runs a program until the script ends.
func start(ts *testscript.TestScript, cmd *exec.Cmd, log string) {
	out, err := os.Create(log)
	ts.Check(err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ts.Check(cmd.Start())
	ts.Setenv("PID", strconv.Itoa(cmd.Process.Pid))
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// foreign is a cluster of another charm.
type foreign struct {
	dir   string
	plain bool
	ips   []string
	ca    authority
}

func (c foreign) name(i int) string { return fmt.Sprintf("m%d", i) }

func (c foreign) url(i, port int) string {
	scheme := "https"
	if c.plain {
		scheme = "http"
	}
	return fmt.Sprintf("%s://%s:%d", scheme, c.ips[i], port)
}

func (c foreign) clusterString() string {
	var all []string
	for i := range c.ips {
		all = append(all, c.name(i)+"="+c.url(i, 2380))
	}
	return strings.Join(all, ",")
}

func (c foreign) flags(i int) ([]string, error) {
	flags := []string{
		"--name", c.name(i), "--data-dir", filepath.Join(c.dir, c.name(i)), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-peer-urls", c.url(i, 2380), "--initial-advertise-peer-urls", c.url(i, 2380),
		"--listen-client-urls", c.url(i, 2379), "--advertise-client-urls", c.url(i, 2379),
		"--initial-cluster", c.clusterString(),
	}
	if c.plain {
		return flags, nil
	}
	files := filepath.Join(c.dir, c.name(i)+"-")
	cert, key, err := c.ca.issue(&x509.Certificate{
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.ParseIP(c.ips[i]), net.IPv4(127, 0, 0, 1)}, // members see each other come from the latter
	})
	err = errors.Join(err, os.WriteFile(files+"ca", []byte(c.ca.pem), 0o600),
		os.WriteFile(files+"cert", []byte(cert), 0o600), os.WriteFile(files+"key", []byte(key), 0o600))
	return append(flags, "--trusted-ca-file", files+"ca", "--cert-file", files+"cert", "--key-file", files+"key", "--client-cert-auth",
		"--peer-trusted-ca-file", files+"ca", "--peer-cert-file", files+"cert", "--peer-key-file", files+"key", "--peer-client-cert-auth"), err
}

// publish writes what a correct provider publishes, and what broken ones might.
func (c foreign) publish() error {
	bag := map[string]string{"cluster": c.clusterString()}
	if c.plain {
		return c.write("bag", bag, nil)
	}
	client := func() *x509.Certificate {
		return &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	}
	expired := client()
	expired.NotBefore, expired.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	cert, key, err := c.ca.issue(client())
	_, otherKey, err2 := c.ca.issue(client())
	expiredCert, expiredKey, err3 := c.ca.issue(expired)
	bag["client_ca"], bag["client_cert"], bag["client_key"] = c.ca.pem, cert, key
	garbage := strings.Repeat("10 MB of garbage, ", 10<<20/18)
	return errors.Join(
		err, err2, err3,
		c.write("bag", bag, nil),
		c.write("broken-cluster", bag, map[string]string{"cluster": bag["cluster"] + ",m9=" + c.ips[0]}),
		c.write("no-such-host", bag, map[string]string{"cluster": "m0=https://no-such-host.invalid:2380"}),
		c.write("astray", bag, map[string]string{"cluster": bag["cluster"] + ",m9=https://169.254.169.254:2380"}),
		c.write("half", bag, map[string]string{"client_key": ""}),
		c.write("mismatch", bag, map[string]string{"client_key": otherKey}),
		c.write("expired", bag, map[string]string{"client_cert": expiredCert, "client_key": expiredKey}),
		c.write("garbage-cluster", bag, map[string]string{"cluster": garbage}),
		c.write("garbage-cert", bag, map[string]string{"client_cert": garbage}),
	)
}

func (c foreign) write(name string, bag, but map[string]string) error {
	all := map[string]string{}
	for _, from := range []map[string]string{bag, but} {
		for key, value := range from {
			all[key] = value
		}
	}
	text, err := json.Marshal(all) // which is YAML too
	return errors.Join(err, os.WriteFile(filepath.Join(c.dir, name+".yaml"), text, 0o600))
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority() (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "somebody's CA"},
		NotBefore: time.Now().Add(-72 * time.Hour), NotAfter: time.Now().Add(72 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return authority{cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}, err
}

// issue signs a certificate, valid for a day unless the template says otherwise.
func (a authority) issue(template *x509.Certificate) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return "", "", err
	}
	template.Subject = pkix.Name{Organization: []string{"somebody"}}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), err
}

var lastIP atomic.Int64

// freeIP gives each server its own loopback address: 127.128.x.y and up; the start depends on the
// process.
func freeIP(ts *testscript.TestScript) string {
	for range 1000 {
		n := int64(os.Getpid())*131 + lastIP.Add(1)
		ip := net.IPv4(127, byte(128+n>>16&63), byte(n>>8), byte(1+n%250)).String()
		if free(ip, "2379") && free(ip, "2380") {
			return ip
		}
	}
	ts.Fatalf("no loopback address is free")
	return ""
}

func free(ip, port string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, port))
	return err == nil && l.Close() == nil
}
