package system

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/internal/sim"
)

// keysKey is the key under which a script has the private keys that it knows.
type keysKey struct{}

// keys are private keys in the forms in which they might leak, and their owners.
type keys map[string]string

// home matches where a unit's private keys lie; no other file may hold one.
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
		// The first line of the body is much the same in all keys.
		line := strings.Split(string(pem.EncodeToMemory(block)), "\n")[2]
		for _, form := range forms(scalar, line) {
			k[form] = whose
		}
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

// forms are the forms of a key: its scalar as it is (in DER too), in hex, in decimal, as Go and
// JSON print bytes, in base64 of whatever contains it; a line of its PEM, and that encoded once
// more.
func forms(scalar []byte, line string) []string {
	numbers := strings.Trim(fmt.Sprintf("%d", scalar), "[]")
	all := []string{
		string(scalar), hex.EncodeToString(scalar), strings.ToUpper(hex.EncodeToString(scalar)), new(big.Int).SetBytes(scalar).String(),
		numbers, strings.ReplaceAll(numbers, " ", ","), line, hex.EncodeToString([]byte(line)),
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for _, text := range []string{string(scalar), line} {
			for before := range 3 {
				// The surrounding bytes influence the first and the last characters.
				encoded := encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + text))
				all = append(all, encoded[(before*8+5)/6:len(encoded)-1])
			}
		}
	}
	return all
}

// in returns whose key a text contains; "" is nobody's.
func (k keys) in(text []byte) string {
	if whose := k.known(text); whose != "" {
		return whose
	}
	if bytes.Contains(text, pemMark) {
		return "somebody"
	}
	return ""
}

// wrapping is what may stand within a key that is spread over lines.
var wrapping = strings.NewReplacer("\r", "", "\n", "", "\t", "", " ", "", `\n`, "", `\r`, "")

// known is in for the keys that were learnt.
func (k keys) known(text []byte) string {
	unwrapped := []byte(wrapping.Replace(string(text)))
	for form, whose := range k {
		if bytes.Contains(text, []byte(form)) || bytes.Contains(unwrapped, []byte(form)) {
			return whose
		}
	}
	return ""
}

// TestKeysAreFound: the search finds a key in every form.
func TestKeysAreFound(t *testing.T) {
	t.Parallel()
	const text = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\nOF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n-----END PRIVATE KEY-----\n"
	block, _ := pem.Decode([]byte(text))
	require.NotNil(t, block)
	scalar, err := scalarOf(block)
	require.NoError(t, err)
	known := keys{}
	require.NoError(t, known.add([]byte(text), "mine"))
	for name, leak := range map[string]string{
		"PEM": text, "PEM on one line": strings.ReplaceAll(text, "\n", `\n`), "its body alone": strings.Split(text, "\n")[2],
		"DER": string(block.Bytes), "hex of DER": fmt.Sprintf("%x", block.Bytes), "HEX of DER": fmt.Sprintf("%X", block.Bytes),
		"base64 of DER": base64.StdEncoding.EncodeToString(block.Bytes), "URL's base64 of DER": base64.URLEncoding.EncodeToString(block.Bytes),
		"base64 of PEM": base64.StdEncoding.EncodeToString([]byte(text)), "base64 of PEM in JSON": base64.StdEncoding.EncodeToString([]byte(`{"a":"` + text)),
		"scalar": string(scalar), "scalar in hex": fmt.Sprintf("%x", scalar), "scalar as bytes": fmt.Sprintf("%d", scalar),
		"scalar as a number": new(big.Int).SetBytes(scalar).String(), "scalar in base64": base64.StdEncoding.EncodeToString(scalar),
	} {
		assert.Equal(t, "mine", known.known([]byte("before "+leak+" behind")), name)
	}
	assert.Empty(t, known.in([]byte("-----BEGIN PUBLIC KEY-----")))
	assert.Equal(t, "somebody", known.in([]byte("-----BEGIN EC PRIVATE KEY-----")))
}

// learnKeys is "learn-keys": the last output is a databag in JSON, with keys that may be nowhere
// else.
func learnKeys(ts *testscript.TestScript, _ bool, _ []string) {
	var bag map[string]string
	ts.Check(yaml.Unmarshal([]byte(ts.ReadFile("stdout")), &bag)) // JSON is YAML
	known := ts.Value(keysKey{}).(keys)
	for key, value := range bag {
		ts.Check(known.add([]byte(value), key))
	}
	if len(known) == 0 {
		ts.Fatalf("there is no key in this databag")
	}
}

// noKey is "no-key": the last output contains none.
func noKey(ts *testscript.TestScript, _ bool, _ []string) {
	for _, name := range []string{"stdout", "stderr"} {
		if whose := ts.Value(keysKey{}).(keys).in([]byte(ts.ReadFile(name))); whose != "" {
			ts.Fatalf("%s has the private key of %s", name, whose)
		}
	}
}

// keysAtHome is "keys-at-home DIR": in all that the simulation in DIR wrote, every private key is
// at home, in a file that only its owner can read, or in a call of a hook tool that is for keys.
// None is in the command line or environment of a program that has run since watch-processes, and
// none is where temporary files lie.
func keysAtHome(ts *testscript.TestScript, _ bool, args []string) {
	dir := filepath.Clean(ts.MkAbs(args[0]))
	known := ts.Value(keysKey{}).(keys)
	var files []string
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || !d.Type().IsRegular() || path == filepath.Join(dir, sim.TranscriptName):
			return err
		case !home.MatchString(path):
			files = append(files, path)
			return nil
		}
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
	}))
	calls := readCalls(ts, dir)
	learnFromCalls(ts, known, calls)
	if len(known) == 0 {
		ts.Fatalf("there is no key below %s", dir)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		ts.Check(err)
		if bytes.HasPrefix(text, []byte("\x7fELF")) {
			continue
		}
		if whose := known.in(bytes.TrimRight(text, "\x00")); whose != "" {
			ts.Fatalf("%s has the private key of %s", path, whose)
		}
	}
	searchCalls(ts, known, calls)
	searchProcesses(ts, known, dir)
	searchTemporary(ts, known, dir)
}
