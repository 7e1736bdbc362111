package licence_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/licence"
)

// known maps words that only one licence has to its SPDX name. The first match counts, so the
// longer phrases of stricter terms come first.
var known = []struct{ words, spdx string }{
	{"as a special exception to the gnu lesser general public license version 3", "LGPL-3.0-linking-exception"},
	{"gnu affero general public license", "AGPL-3.0"},
	{"gnu lesser general public license", "LGPL-3.0"},
	{"gnu general public license", "GPL-3.0"},
	{"mozilla public license", "MPL-2.0"},
	{"apache license", "Apache-2.0"},
	{"permission is hereby granted, free of charge", "MIT"},
	{"permission to use, copy, modify, and distribute this software for any purpose with or without fee", "ISC"},
	{"permission to use, copy, modify, and/or distribute this software for any purpose with or without fee", "ISC"},
	{"redistribution and use in source and binary forms", "BSD"},
}

// kind returns the SPDX name of a text's licence ("BSD" for any of that family), or "".
func kind(text string) string {
	flat := strings.ToLower(strings.Join(strings.Fields(text), " "))
	for _, k := range known {
		if strings.Contains(flat, k.words) {
			return k.spdx
		}
	}
	return ""
}

func TestKind(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"                  Apache  License\n Version 2.0":                                                   "Apache-2.0",
		"Permission is hereby granted, free\nof charge, to any person":                                      "MIT",
		"Redistribution and use in source and binary\nforms, with or without modification":                  "BSD",
		"Permission to use, copy, modify, and distribute this software for any purpose with or without fee": "ISC",
		"Mozilla Public License, version 2.0":                                                               "MPL-2.0",
		"GNU LESSER GENERAL PUBLIC LICENSE, on top of the GNU General Public License":                       "LGPL-3.0",
		"As a special exception to the GNU Lesser General Public License version 3":                         "LGPL-3.0-linking-exception",
		"GNU GENERAL PUBLIC LICENSE":                                                                        "GPL-3.0",
		"GNU AFFERO GENERAL PUBLIC LICENSE, see the GNU General Public License":                             "AGPL-3.0",
	} {
		assert.Equal(t, want, kind(text), text)
	}
	assert.Empty(t, kind("All rights reserved."))
}

func TestNoticesGivesEachTextOnce(t *testing.T) {
	t.Parallel()
	out := licence.Notices([]licence.Module{
		{Path: "a", Version: "v1", Texts: []string{"same terms"}},
		{Path: "b", Version: "v2", Texts: []string{"same terms", "a notice"}},
	})
	assert.Equal(t, 1, strings.Count(out, "same terms"))
	assert.Contains(t, out, "a v1\nb v2\n\nsame terms")
	assert.Contains(t, out, "b v2\n\na notice")
}

// allowed lists the licences of what may be linked into a charm that is itself Apache-2.0. The LGPL
// is allowed only with the exception that permits static linking.
var allowed = []string{"Apache-2.0", "MIT", "BSD", "ISC", "MPL-2.0", "LGPL-3.0-linking-exception"}

// TestEverythingLinkedIsAllowed asks `go list` for what the programs of this repository link.
func TestEverythingLinkedIsAllowed(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
		"{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}", "../../cmd/...").Output()
	require.NoError(t, err)
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		name, dir, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || seen[name] {
			continue
		}
		seen[name] = true
		kinds := kindsIn(t, dir)
		assert.NotEmpty(t, kinds, "%s has no licence that is recognised", name)
		for _, k := range kinds {
			assert.Contains(t, allowed, k, name)
		}
	}
	assert.Greater(t, len(seen), 20, "go list named too few modules to be true")
}

func kindsIn(t *testing.T, dir string) (kinds []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if e.IsDir() || !licence.IsFile(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		if k := kind(string(text)); k != "" {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func TestLinkedReadsTheBinaryAndTheCache(t *testing.T) {
	t.Parallel()
	// A test binary carries no module list; the packer's binary does, and it is quick to build.
	packer := filepath.Join(t.TempDir(), "charm-pack")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", packer, "../../cmd/charm-pack").CombinedOutput()
	require.NoError(t, err, string(out))
	where, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT", "GOMODCACHE").Output()
	require.NoError(t, err)
	goroot, cache, _ := strings.Cut(strings.TrimSpace(string(where)), "\n")

	mods, err := licence.Linked(packer, goroot, cache)
	require.NoError(t, err)
	assert.Equal(t, "std", mods[0].Path)
	assert.Contains(t, mods[0].Texts[0], "The Go Authors")
	mods = mods[1:]
	i := slices.IndexFunc(mods, func(m licence.Module) bool { return m.Path == "github.com/juju/charm/v12" })
	require.GreaterOrEqual(t, i, 0)
	assert.Contains(t, mods[i].Texts[0], "As a special exception")
	assert.True(t, slices.IsSortedFunc(mods, func(a, b licence.Module) int { return strings.Compare(a.Path, b.Path) }))

	_, err = licence.Linked(packer, goroot, t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist, "a module that is not in the cache must not be passed over")

	_, err = licence.Linked(packer, t.TempDir(), cache)
	require.ErrorContains(t, err, "licence of Go")

	_, err = licence.Linked("licence_test.go", goroot, cache)
	require.ErrorContains(t, err, "cannot read module list")
}
