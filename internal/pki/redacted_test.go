package pki_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

const redacted = "[redacted]"

func secrets(t *testing.T) map[string]any {
	t.Helper()
	a := authority(t, 1)
	leaf, err := pki.IssueAdmin(epoch, stream(2), a)
	require.NoError(t, err)
	_, err = a.Credentials(modelUUID, "proxy:7", 1, pki.PeriodOf(epoch)) // the authority remembers it
	require.NoError(t, err)
	return map[string]any{
		"key": a.Peer.Key, "key pointer": &a.Peer.Key, "CA": a.Peer, "CA pointer": &a.Peer,
		"authority": *a, "authority pointer": a, "leaf": leaf,
		"zero": pki.PrivateKey{},
	}
}

func TestKeysPrintAsRedacted(t *testing.T) {
	t.Parallel()
	for name, value := range secrets(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				assert.Equal(t, redacted, fmt.Sprintf(verb, value), verb)
			}
			assert.Equal(t, redacted, fmt.Sprint(value))
			assert.Equal(t, redacted, fmt.Errorf("%w", fmt.Errorf("%v", value)).Error())

			out, err := json.Marshal(value)
			require.NoError(t, err)
			assert.Equal(t, `"[redacted]"`, string(out))
			out, err = yaml.Marshal(value)
			require.NoError(t, err)
			assert.Equal(t, "'[redacted]'", strings.TrimSpace(string(out)))

			var text, structured bytes.Buffer
			slog.New(slog.NewTextHandler(&text, nil)).Info("m", "a", value)
			slog.New(slog.NewJSONHandler(&structured, nil)).Info("m", "a", value)
			assert.Contains(t, text.String(), "a=[redacted]\n")
			assert.Contains(t, structured.String(), `"a":"[redacted]"}`)
		})
	}
}

func TestKeysStayHiddenInUnexportedFields(t *testing.T) {
	t.Parallel()
	a := authority(t, 1)
	given, err := a.Credentials(modelUUID, "proxy:7", 1, pki.PeriodOf(epoch))
	require.NoError(t, err)
	holder := struct{ authority pki.Authority }{*a}
	// fmt calls no methods on unexported fields: what it prints must be an
	// address, so the key's PEM and its scalar in any notation are not there.
	for _, verb := range []string{"%v", "%+v", "%#v", "%x"} {
		printed := fmt.Sprintf(verb, holder)
		assert.NotContains(t, printed, "PRIVATE KEY")
		for _, key := range []string{string(a.Client.Key.PEM()), given.Key} {
			assert.NotContains(t, printed, fmt.Sprintf("%v", []byte(key))[1:60])
			assert.NotContains(t, printed, fmt.Sprintf("%x", key)[:60])
		}
		assert.NotContains(t, strings.ToLower(printed), "curve")
		assert.NotContains(t, strings.ToLower(printed), "elliptic")
	}
}
