package pack

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/juju/charm/v12"
)

// script runs the charm's program under the name of a hook or action, as a link to the program
// would. It is bash because POSIX has no `exec -a`. Juju calls it by its full path, so "$0" is the
// name that the program looks at.
const script = "#!/bin/bash\n" + `exec -a "$0" "${0%/*}/../` + Binary + `" "$@"` + "\n"

// Expand unpacks an archive into a directory for charmcraft to zip. charmcraft follows links when
// it zips, so each hook and action would become another copy of the program. Expand therefore makes
// them scripts.
func Expand(file, dir string) error {
	read, err := charm.ReadCharmArchive(file)
	if err != nil {
		return fmt.Errorf("cannot read archive: %w", err)
	}
	if err := read.ExpandTo(dir); err != nil {
		return fmt.Errorf("cannot expand archive: %w", err)
	}
	for _, name := range links {
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("cannot replace links: %w", err)
		}
		for _, e := range entries {
			if err := replaceLink(filepath.Join(dir, name, e.Name())); err != nil {
				return fmt.Errorf("cannot replace link: %w", err)
			}
		}
	}
	return nil
}

// replaceLink first removes the link, because a write would go to the link's target.
func replaceLink(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		return err
	}
	// Chmod, because the umask must not decide who may run it.
	return os.Chmod(path, 0o755)
}
