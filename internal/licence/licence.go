// Package licence finds the licences of the modules in a binary. Its rule: it asks the binary
// itself (the Go linker wrote the module list into it) and reads the texts that the modules ship.
// No list is kept by hand.
package licence

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// Module is one module of a binary and the licence texts at its root.
type Module struct {
	Path, Version string
	Texts         []string // LICENSE, COPYING and NOTICE files, whole, in the order of their names
}

// Linked lists the modules that are linked into the Go program at path, sorted by module path, with
// their texts from the module cache. Go's own runtime and library come first, under the name std.
// The program's own module is left out. A module that is not in the cache, or has no licence file,
// is an error.
func Linked(path, goroot, modcache string) ([]Module, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read module list of %s: %w", path, err)
	}
	var mods []Module
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		m := Module{Path: dep.Path, Version: dep.Version}
		dir, err := cached(m, modcache)
		if err != nil {
			return nil, fmt.Errorf("cannot find %s %s: %w", m.Path, m.Version, err)
		}
		if m.Texts, err = texts(dir); err != nil {
			return nil, fmt.Errorf("cannot read licence of %s %s: %w", m.Path, m.Version, err)
		}
		mods = append(mods, m)
	}
	slices.SortFunc(mods, func(a, b Module) int { return strings.Compare(a.Path, b.Path) })
	std, err := texts(goroot)
	if err != nil {
		return nil, fmt.Errorf("cannot read licence of Go: %w", err)
	}
	return append([]Module{{Path: "std", Version: info.GoVersion, Texts: std}}, mods...), nil
}

var fileName = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice)([.-].+)?$`)

// IsFile reports whether a file of this name at a module's root contains licence terms or notices.
func IsFile(name string) bool {
	return fileName.MatchString(name) && filepath.Ext(name) != ".go"
}

// cached returns where a module lies in the module cache.
func cached(m Module, modcache string) (string, error) {
	escPath, err := module.EscapePath(m.Path)
	if err != nil {
		return "", err
	}
	escVersion, err := module.EscapeVersion(m.Version)
	if err != nil {
		return "", err
	}
	return filepath.Join(modcache, escPath+"@"+escVersion), nil
}

func texts(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() || !IsFile(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, string(text))
	}
	if len(out) == 0 {
		return nil, errors.New("no licence file at its root")
	}
	return out, nil
}

// Notices returns one text with every module's terms, each text once, for shipping beside the
// binary: most of the licences require that.
func Notices(mods []Module) string {
	users := map[string][]string{}
	var order []string
	for _, m := range mods {
		for _, text := range m.Texts {
			if users[text] == nil {
				order = append(order, text)
			}
			users[text] = append(users[text], m.Path+" "+m.Version)
		}
	}
	var b strings.Builder
	b.WriteString("The program in this archive holds the modules named below, each under the terms that follow it.\n")
	for _, text := range order {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n",
			strings.Repeat("=", 80), strings.Join(users[text], "\n"), strings.TrimSpace(text))
	}
	return b.String()
}
