package operator

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDigestIsThatOfTheEnvironment(t *testing.T) {
	t.Parallel()
	c, problem := ParseConfig(map[string]any{"split_http": true})
	assert.Empty(t, problem)
	c.CipherSuites = []string{"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"}
	s := Server{
		Name: "etcd0", Release: release, ListenPeer: []string{"https://0.0.0.0:2380"}, ListenClient: []string{"https://0.0.0.0:2379"},
		ListenHTTP: []string{"https://0.0.0.0:2382"}, ListenMetric: "http://127.0.0.1:2381", PeerURL: "https://10.0.0.1:2380",
		ClientURL: "https://10.0.0.1:2379", Trust: "t", Config: c, Paths: []string{"ETCD_DATA_DIR=/d", "ETCD_CERT_FILE=/c"},
	}
	env := s.Env()
	assert.True(t, slices.IsSorted(env))
	assert.Equal(t, "3f637fae69e7b2874ff394ea695dbd8f", s.Digest(), "what runs is compared with it: another restarts every member")
	for _, initial := range []Initial{{New: true, Token: "t", Cluster: "etcd0=https://10.0.0.1:2380"}, {Cluster: "a=b"}, {}} {
		first := initial.Env()
		assert.True(t, slices.IsSorted(first))
		file := append(append([]string{ConfigVar + "=" + s.Digest()}, first...), env...)
		slices.Reverse(file)
		assert.Equal(t, s.Digest(), EnvDigest(file))
		assert.Equal(t, initial, InitialOf(file))
		for i, line := range file {
			key, _, _ := strings.Cut(line, "=")
			first := strings.HasPrefix(key, "ETCD_INITIAL_CLUSTER") // the values of a first start are compared by InitialOf
			if key != "ETCD_INITIAL_CLUSTER_TOKEN" {
				assert.Equal(t, Altered, EnvDigest(slices.Delete(slices.Clone(file), i, i+1)), "without %s", line)
			}
			assert.Equal(t, Altered, EnvDigest(append(slices.Clone(file), line)), "twice %s", line)
			if !first || key == "ETCD_INITIAL_CLUSTER_STATE" {
				assert.Equal(t, Altered, EnvDigest(slices.Replace(slices.Clone(file), i, i+1, line+"x")), "another %s", line)
			}
		}
		assert.Equal(t, Altered, EnvDigest(append(file, "ETCD_SOMEBODY=else")))
		other := s
		other.Paths = []string{"ETCD_DATA_DIR=/d", "ETCD_CERT_FILE=/c", "ETCD_CLIENT_CRL_FILE=/r"}
		assert.NotEqual(t, s.Digest(), other.Digest(), "what a later release adds is taken up by a restart")
	}
	assert.Empty(t, EnvDigest(nil))
}
