package pack

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// manifest is the file from which Juju and Charmhub learn where an archive runs; only the fields
// that they read.
type manifest struct {
	Bases []base `yaml:"bases"`
}

type base struct {
	Name          string   `yaml:"name"`
	Channel       string   `yaml:"channel"`
	Architectures []string `yaml:"architectures,flow"`
}

// writeManifest writes the manifest of an archive for one architecture, from the platforms that
// charmcraft.yaml lists for it. Charmhub routes by the manifest, so it must not name an
// architecture whose binary is not in the archive.
func writeManifest(to, charmcraft, arch string) error {
	data, err := os.ReadFile(charmcraft)
	if err != nil {
		return err
	}
	bases, err := basesFor(data, arch)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(manifest{Bases: bases})
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

// basesFor returns the bases that charmcraft.yaml names for an architecture, sorted. Its platforms
// are in charmcraft's short notation: "ubuntu@24.04:amd64" with no value.
func basesFor(charmcraft []byte, arch string) ([]base, error) {
	var file struct {
		Platforms map[string]any `yaml:"platforms"`
	}
	if err := yaml.Unmarshal(charmcraft, &file); err != nil {
		return nil, fmt.Errorf("cannot read charmcraft.yaml: %w", err)
	}
	var bases []base
	for platform, value := range file.Platforms {
		system, of, ok := strings.Cut(platform, ":")
		name, channel, ok2 := strings.Cut(system, "@")
		if !ok || !ok2 || name == "" || channel == "" || machines[of] == 0 || value != nil {
			return nil, fmt.Errorf("%w: %q", ErrPlatform, platform)
		}
		if of == arch {
			bases = append(bases, base{Name: name, Channel: channel, Architectures: []string{arch}})
		}
	}
	if len(bases) == 0 {
		return nil, fmt.Errorf("%w: charmcraft.yaml has no platform for %s", ErrBase, arch)
	}
	slices.SortFunc(bases, func(a, b base) int {
		return strings.Compare(a.Name+"@"+a.Channel, b.Name+"@"+b.Channel)
	})
	return bases, nil
}
