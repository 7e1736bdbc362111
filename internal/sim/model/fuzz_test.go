package model

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzReadSettings: no panic, and what was read comes back when written as JSON,
// which is YAML. (yaml.v3's own encoder loses a newline at the head of a value.)
func FuzzReadSettings(f *testing.F) {
	for _, seed := range []string{"a: b\n", "a: |\n  x\n  y\n", "- a", "a: {b: c}", "a: &x 1\nb: *x\n", "a: null", "", "a: !!binary aGk=", "? [a]\n: b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		values, err := readSettings([]byte(text))
		if err != nil {
			return
		}
		again, err := json.Marshal(values)
		require.NoError(t, err)
		// YAML refuses some characters that JSON takes bare.
		if back, err := readSettings(again); err == nil {
			require.Equal(t, values, back)
		}
	})
}

// FuzzCall: no arguments, to any tool, make the model panic, and no failed call leaves anything to
// commit.
func FuzzCall(f *testing.F) {
	f.Add("relation-set -r ring:0 a=b", "")
	f.Add("relation-set -r ring:0 --file - --app", "a: b")
	f.Add("relation-get -r ring:0 --app - thing/0", "")
	f.Add("secret-add --label x key#base64=aGk=", "")
	f.Add("secret-set secret:x --file -", "key: v")
	f.Add("action-set a.b.c=d", "")
	f.Add("open-port 1-2/udp", "")
	f.Add("relation-list -r :", "")
	f.Fuzz(func(t *testing.T, line, stdin string) {
		words := strings.Split(line, " ")
		w := newWorld(t, "3.6")
		w.deploy("thing", 1)
		w.settle()
		w.inHook("thing/0", func(h *hookRun) {
			rep, err := h.Call(Request{Tool: words[0], Args: words[1:], Stdin: []byte(stdin), StdinSet: true})
			if err == nil && rep.Code != 0 {
				require.True(t, strings.HasPrefix(string(rep.Stderr), "ERROR "))
				for _, changes := range h.bags {
					require.Empty(t, changes)
				}
				require.Empty(t, h.state)
				require.Empty(t, h.ports)
			}
		})
	})
}
