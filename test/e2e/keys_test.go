//go:build e2e

package e2e

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// keysAtHome checks every private key on a machine: it lies in its unit's directory, only its user
// can read it, and it is not an authority's.
func (w world) keysAtHome(t *testing.T, n int, unit string) {
	t.Helper()
	home := "/etc/etcd-charm/" + dashed(unit) + "/"
	files := strings.Fields(w.sh(t, n, "grep -rIl 'BEGIN.*PRIVATE KEY' /etc /opt /root /run /tmp /usr/local /var"))
	require.NotEmpty(t, files)
	authorities := w.authorities(t, n, home)
	for _, file := range files {
		assert.True(t, strings.HasPrefix(file, home), "%s is not at home", file)
		assert.Regexp(t, `^[46][04]0 (root|etcd-charm):(root|etcd-charm)$`, w.sh(t, n, "stat -c '%a %U:%G' "+file), file)
		_, err := w.run(t.Context(), n, nil, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", file)
		assert.Error(t, err, "a login user can read %s", file)

		block, _ := pem.Decode([]byte(w.sh(t, n, "cat "+file)))
		require.NotNil(t, block, file)
		public := publicOf(t, block)
		for name, authority := range authorities {
			assert.False(t, authority.Equal(public), "%s holds the key of authority %s", file, name)
		}
	}
}

// readsItsFiles tries, as the service's user, to read each file that the unit's process is told of,
// and to run its program.
func (w world) readsItsFiles(t *testing.T, n int, unit string) {
	t.Helper()
	pid := w.show(t, n, unit)["MainPID"]
	files := strings.Fields(w.sh(t, n, `tr '\0' '\n' </proc/`+pid+`/environ | sed -n 's/^ETCD_[A-Z_]*_FILE=//p'`))
	if len(files) == 0 { // a proxy
		home := "/etc/etcd-charm/" + dashed(unit)
		files = strings.Fields(w.sh(t, n, "ls "+home+"/proxy.yaml "+home+"/tls/upstream*"))
	}
	require.GreaterOrEqual(t, len(files), 4)
	as := []string{"setpriv", "--reuid=etcd-charm", "--regid=etcd-charm", "--clear-groups", "--"}
	for _, file := range files {
		_, err := w.run(t.Context(), n, nil, append(as, "cat", file)...)
		assert.NoError(t, err, "the service cannot read %s", file)
	}
	program := strings.TrimSpace(w.sh(t, n, "readlink /proc/"+pid+"/exe"))
	_, err := w.run(t.Context(), n, nil, append(as, "test", "-x", program)...)
	assert.NoError(t, err, "the service cannot run %s", program)
	assert.Contains(t, w.sh(t, n, "etcdutl version"), "etcdutl version: ")
}

type publicKey interface{ Equal(crypto.PublicKey) bool }

func publicOf(t *testing.T, block *pem.Block) crypto.PublicKey {
	t.Helper()
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key.Public()
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	signer, ok := key.(crypto.Signer)
	require.True(t, ok)
	return signer.Public()
}

// authorities are the public keys of all CA certificates under a directory.
func (w world) authorities(t *testing.T, n int, dir string) map[string]publicKey {
	t.Helper()
	found := map[string]publicKey{}
	rest := []byte(w.sh(t, n, "cat $(grep -rIl 'BEGIN CERTIFICATE' "+dir+")"))
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		if public, ok := cert.PublicKey.(publicKey); ok && cert.IsCA {
			found[cert.Subject.CommonName] = public
		}
	}
	require.NotEmpty(t, found, "no authority is trusted")
	return found
}
