package system

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// keysKey is where a script has the private keys that it knows.
type keysKey struct{}

// keys are private keys in the forms in which they might leak, and whose they are.
type keys map[string]string

// home is where a unit's private keys lie, and nothing else may hold one.
var home = regexp.MustCompile(`/etc/etcd-charm/[a-z-]+-\d+/tls/[a-z-]+\.key$`)

var pemMark = []byte("PRIVATE KEY-----")

// add learns the private keys in a text.
func (k keys) add(text []byte, whose string) error {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil
		}
		if !strings.Contains(block.Type, "PRIVATE KEY") {
			continue
		}
		scalar, err := scalarOf(block)
		if err != nil {
			return fmt.Errorf("%s: %w", whose, err)
		}
		body := strings.Split(string(pem.EncodeToMemory(block)), "\n")
		k[body[2]] = whose // the first line of the body is much the same in all keys
		k[hex.EncodeToString(scalar)] = whose
		k[base64.StdEncoding.EncodeToString(scalar)] = whose
	}
}

func scalarOf(block *pem.Block) ([]byte, error) {
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		other, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		key = other.(*ecdsa.PrivateKey) //nolint:forcetypeassert // the charm makes no others
	}
	return key.Bytes()
}

// in tells whose key a text has; "" is nobody's.
func (k keys) in(text []byte) string {
	for form, whose := range k {
		if bytes.Contains(text, []byte(form)) {
			return whose
		}
	}
	if bytes.Contains(text, pemMark) {
		return "somebody"
	}
	return ""
}

// learnKeys is "learn-keys": the last output is a databag as JSON.
func learnKeys(ts *testscript.TestScript, _ bool, _ []string) {
	var bag map[string]string
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &bag))
	found := ts.Value(keysKey{}).(keys)
	before := len(found)
	for key, value := range bag {
		ts.Check(found.add([]byte(value), "the bag's "+key))
	}
	if len(found) == before {
		ts.Fatalf("there is no new key in this bag")
	}
}

// noKey is "no-key": there is none in the last output.
func noKey(ts *testscript.TestScript, _ bool, _ []string) {
	for _, name := range []string{"stdout", "stderr"} {
		if whose := ts.Value(keysKey{}).(keys).in([]byte(ts.ReadFile(name))); whose != "" {
			ts.Fatalf("%s has the private key of %s", name, whose)
		}
	}
}

// keysAtHome is "keys-at-home DIR": below a directory every private key is at home, in a file that its owner alone may
// read, and in no command line and no environment of a program that runs there.
func keysAtHome(ts *testscript.TestScript, _ bool, args []string) {
	dir := filepath.Clean(ts.MkAbs(args[0]))
	known := ts.Value(keysKey{}).(keys)
	files := map[string][]byte{}
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if home.MatchString(path) {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode().Perm()&0o077 != 0 {
				return fmt.Errorf("%s has mode %v", path, info.Mode())
			}
			return known.add(text, path)
		}
		files[path] = nil
		return nil
	}))
	if len(known) == 0 {
		ts.Fatalf("there is no key below %s", dir)
	}
	for path := range files {
		text, err := os.ReadFile(path)
		ts.Check(err)
		if bytes.HasPrefix(text, []byte("\x7fELF")) {
			continue
		}
		if whose := known.in(bytes.TrimRight(text, "\x00")); whose != "" {
			ts.Fatalf("%s has the private key of %s", path, whose)
		}
	}
	for path, text := range processes(dir) {
		if whose := known.in(text); whose != "" {
			ts.Fatalf("%s has the private key of %s", path, whose)
		}
	}
}

// processes are the command lines and environments of the programs below a directory.
func processes(dir string) map[string][]byte {
	found := map[string][]byte{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		proc := filepath.Join("/proc", e.Name())
		if exe, err := os.Readlink(filepath.Join(proc, "exe")); err != nil || !strings.HasPrefix(exe, dir+"/") {
			continue
		}
		for _, name := range []string{"cmdline", "environ"} {
			if text, err := os.ReadFile(filepath.Join(proc, name)); err == nil {
				found[filepath.Join(proc, name)] = text
			}
		}
	}
	return found
}
