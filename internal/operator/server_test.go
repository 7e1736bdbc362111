package operator

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDigestIsThatOfTheEnvironment(t *testing.T) {
	t.Parallel()
	c, problem := ParseConfig(map[string]any{"split_http": true, "tls_cipher_suites": cipherSuites[0]})
	assert.Empty(t, problem)
	s := Server{
		Name: "etcd0", Release: release, ListenPeer: []string{"https://0.0.0.0:2380"}, ListenClient: []string{"https://0.0.0.0:2379"},
		ListenHTTP: []string{"https://0.0.0.0:2382"}, ListenMetric: "http://127.0.0.1:2381", PeerURL: "https://10.0.0.1:2380",
		ClientURL: "https://10.0.0.1:2379", Trust: "t", Config: c,
	}
	env := s.Env()
	assert.True(t, slices.IsSorted(env))
	assert.Equal(t, s.Digest(), EnvDigest(env))
	assert.Equal(t, "2f08f64a0a774442a9150cb7a8786e7a", s.Digest(), "what runs is compared with it: another restarts every member")
	initial := Initial{New: true, Token: "t", Cluster: "etcd0=https://10.0.0.1:2380"}
	first := initial.Env(s.PeerURL)
	assert.True(t, slices.IsSorted(first))
	file := append(append([]string{ConfigVar + "=x", "ETCD_DATA_DIR=/d", "ETCD_CERT_FILE=/c", "PATH=/bin"}, first...), env...)
	slices.Reverse(file)
	assert.Equal(t, s.Digest(), EnvDigest(file))
	assert.Equal(t, initial, InitialOf(file))
	assert.Zero(t, InitialOf(Initial{}.Env(s.PeerURL)))
}
