package model

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withSecret is a model of application a with two units, related to b, and a
// secret of a's with the label "s".
func withSecret(t *testing.T) (w *world, id string) {
	t.Helper()
	w = newWorld(t, "4.0")
	w.deploy("a", 2)
	w.deploy("b", 1)
	_, err := w.Relate("a:in", "b:out")
	require.NoError(t, err)
	w.settle()
	w.inHook("a/0", func(h *hookRun) {
		out, err := h.Run(h.ctx, nil, "secret-add", "--label", "s", "key=one", "other#base64=dHdv")
		require.NoError(t, err)
		id = string(out)
	})
	require.True(t, strings.HasSuffix(id, "\n"), "the id ends in a newline")
	id = strings.TrimSpace(id)
	require.Regexp(t, `^secret:[0-9a-v]{19}[0g]$`, id, "12 bytes, as xid writes them")
	return w, id
}

func TestSecretIsReadByItsOwnersUnitsByLabel(t *testing.T) {
	t.Parallel()
	w, id := withSecret(t)
	for _, unit := range []string{"a/0", "a/1"} {
		w.inHook(unit, func(h *hookRun) {
			assert.JSONEq(t, `{"key":"one","other":"two"}`, h.tool("secret-get", "--label", "s", "--format=json"))
			assert.Equal(t, "one", h.tool("secret-get", id, "key"))
		})
	}
	w.inHook("b/0", func(h *hookRun) {
		assert.Contains(t, h.fails("secret-get", "--label", "s"), "not found")
		assert.Equal(t, "null", h.tool("secret-ids", "--format=json"), "it owns none")
		assert.Equal(t, "ERROR permission denied", h.fails("secret-get", id))
	})
}

func TestSecretGrantIsForTheOtherSide(t *testing.T) {
	t.Parallel()
	w, id := withSecret(t)
	w.inHook("a/0", func(h *hookRun) { h.tool("secret-grant", "-r", "in:2", id) })
	w.inHook("b/0", func(h *hookRun) {
		assert.Equal(t, "one", h.tool("secret-get", "--label", "mine", id, "key"))
		assert.Equal(t, "one", h.tool("secret-get", "--label", "mine", "--format=smart", "--", "secret:"+strings.TrimPrefix(id, "secret:"), "key"))
	})
	w.inHook("a/0", func(h *hookRun) { h.tool("secret-revoke", "-r", "in:2", id) })
	w.inHook("b/0", func(h *hookRun) { assert.Equal(t, "ERROR permission denied", h.fails("secret-get", id)) })
}

func TestSecretRevisions(t *testing.T) {
	t.Parallel()
	w, id := withSecret(t)
	read := func(h *hookRun, flags ...string) string {
		return h.tool("secret-get", append(flags, "--label", "s", "--format=json")...)
	}
	w.inHook("a/1", func(h *hookRun) { read(h) })
	w.inHook("a/0", func(h *hookRun) { read(h) })
	w.on["a/1 secret-changed"] = func(h *hookRun) error {
		assert.Equal(t, id, h.Hook.Secret)
		assert.Equal(t, "s", h.Hook.SecretLabel)
		assert.Equal(t, 2, h.Hook.SecretRevision)
		return nil
	}
	w.forget()
	w.inHook("a/0", func(h *hookRun) {
		h.tool("secret-set", id, "key=new")
		assert.JSONEq(t, `{"key":"new"}`, read(h, "--peek"), "its own pending revision")
		assert.Contains(t, h.tool("secret-info-get", "--label", "s"), "revision: 2")
	})
	assert.Equal(t, []string{"secret-changed"}, w.take("a/1"))
	assert.Equal(t, []string{"update-status"}, w.take("a/0"), "the writer is not told")
	w.inHook("a/1", func(h *hookRun) {
		assert.JSONEq(t, `{"key":"one","other":"two"}`, read(h), "the revision it tracks")
		assert.JSONEq(t, `{"key":"new"}`, read(h, "--peek"))
		assert.JSONEq(t, `{"key":"one","other":"two"}`, read(h), "a peek moves nothing")
		assert.Contains(t, h.fails("secret-get", "--label", "s", "--peek", "--refresh"), "one of --peek or --refresh but not both")
		assert.JSONEq(t, `{"key":"new"}`, read(h, "--refresh"))
		assert.JSONEq(t, `{"key":"new"}`, read(h))
	})
	w.forget()
	w.inHook("a/0", func(h *hookRun) { h.tool("secret-set", id, "key=new") })
	assert.Empty(t, w.take("a/1"), "the same content makes no revision")
}

func TestSecretRules(t *testing.T) {
	t.Parallel()
	w, id := withSecret(t)
	w.inHook("a/0", func(h *hookRun) {
		for _, bad := range []string{"ca=x", "Key=x", "1ab=x", "a--b=x"} {
			assert.Contains(t, h.fails("secret-add", bad), "invalid key", bad)
		}
		assert.Contains(t, h.fails("secret-add"), "missing secret value")
		assert.Contains(t, h.fails("secret-add", "big="+strings.Repeat("x", 1<<20+1)), "size")
		assert.Contains(t, h.fails("secret-add", "--label", "s", "key=x"), "already exists")
		assert.Contains(t, h.fails("secret-get", "secret:00000000000000000000"), "not found")
		assert.Contains(t, h.fails("secret-get"), "require either")
		assert.Contains(t, h.tool("secret-ids"), strings.TrimPrefix(id, "secret:"))
	})
	w.inHook("a/1", func(h *hookRun) {
		assert.Equal(t, "ERROR this unit is not the leader", h.fails("secret-add", "key=x"))
		assert.Equal(t, "ERROR permission denied", h.fails("secret-set", id, "key=x"))
		assert.Contains(t, h.fails("secret-info-get", id), "not found")
		assert.Empty(t, h.tool("secret-ids"))
		h.tool("secret-add", "--owner", "unit", "--label", "own", "key=x")
	})
	w.inHook("a/0", func(h *hookRun) {
		h.fails("secret-get", "--label", "own")
		h.tool("secret-remove", id)
		h.fails("secret-get", id)
	})
	w.inHook("a/1", func(h *hookRun) { assert.Contains(t, h.fails("secret-get", id), "not found") })
}

func TestSecretFromFile(t *testing.T) {
	t.Parallel()
	w, _ := withSecret(t)
	w.inHook("a/0", func(h *hookRun) {
		rep, err := h.Call(Request{
			Tool: "secret-add", Args: []string{"--label", "f", "key#file=/some/where"},
			ReadFile: func(path string) ([]byte, error) {
				assert.Equal(t, "/some/where", path)
				return []byte("a\nb\n"), nil
			},
		})
		require.NoError(t, err)
		require.Zero(t, rep.Code, string(rep.Stderr))
		assert.JSONEq(t, `{"key":"a\nb\n"}`, h.tool("secret-get", "--label", "f", "--format=json"))
	})
}
