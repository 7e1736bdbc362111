// Package mutants breaks the sources, in one place at a time, and requires that a test notices. The
// rule it keeps: a promise is kept only if a test fails when it is broken. Nothing is copied or
// left behind, because the compiler reads each patched file through an overlay.
package mutants

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mutant is one breach.
type mutant struct {
	breach   string // what the broken program does
	file     string // of this repository
	test     string // that must fail; it is in the file's package
	old, new string // the text in the file, which occurs once, and its replacement
}

func (m mutant) room() string { return path.Dir(m.file) }

var every = flag.Int("every", 16, "TestMutantsInside breaks one mutant in so many; make mutants breaks all")

// hung is when a test is given up. That proves nothing about a mutant: the machine may be slow.
const hung = 20 * time.Minute

// program is a package's tests, built.
type program struct{ path, dir string }

// build makes the tests of a room of the module at root.
func build(ctx context.Context, root, room, to string, flags ...string) (program, error) {
	args := slices.Concat([]string{"test", "-c", "-vet=off", "-trimpath", "-o", to}, flags, []string{"./" + room})
	cmd := exec.CommandContext(ctx, "go", args...)
	// Built as `make build` builds the charm, so that its parts are compiled only once. The race
	// detector would take longer to build than these tests run.
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return program{}, fmt.Errorf("cannot compile: %w\n%s", err, out)
	}
	return program{path: to, dir: filepath.Join(root, room)}, nil
}

// passes reports whether a test passes, and returns its output.
func (p program) passes(ctx context.Context, test string) (bool, string, error) {
	args := []string{"-test.v", "-test.run", "^" + test + "$", "-test.timeout", hung.String()}
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Env = append(os.Environ(), "QUICK=") // what they start is the mutant, not what make test has built
	cmd.Dir = p.dir
	text, err := cmd.CombinedOutput()
	out := string(text)
	var exit *exec.ExitError
	switch {
	case err == nil && strings.Contains(out, "--- PASS: "+test+" "):
		return true, out, nil
	case err == nil:
		return false, out, errors.New("there is no such test, or it was skipped")
	case strings.Contains(out, "panic: test timed out"):
		return false, out, errors.New("the test did not end")
	case errors.As(err, &exit) && strings.Contains(out, "--- FAIL: "+test),
		errors.As(err, &exit) && strings.Contains(out, "\npanic: "):
		return false, out, nil
	}
	return false, out, fmt.Errorf("cannot run the test: %w", err)
}

// source is the file of the module at root that the mutant breaks, with the text to break in one
// place.
func (m mutant) source(root string) (string, error) {
	source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.file)))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		return "", fmt.Errorf("the text to break stands %d times in %s: mend the table", n, m.file)
	}
	return string(source), nil
}

// uncaught says why a mutant of the module at root does not count as caught; nil means that its
// test fails. It also returns the test's output.
func (m mutant) uncaught(ctx context.Context, root, tmp string) (string, error) {
	where := filepath.Join(root, filepath.FromSlash(m.file))
	source, err := m.source(root)
	if err != nil {
		return "", err
	}
	patched, overlay := filepath.Join(tmp, "patched.go"), filepath.Join(tmp, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {where: patched}})
	if err != nil {
		return "", err
	}
	err = errors.Join(
		os.WriteFile(patched, []byte(strings.Replace(source, m.old, m.new, 1)), 0o600),
		os.WriteFile(overlay, replace, 0o600),
	)
	if err != nil {
		return "", err
	}
	p, err := build(ctx, root, m.room(), filepath.Join(tmp, "broken.test"), "-overlay", overlay)
	if err != nil {
		return "", err
	}
	passes, out, err := p.passes(ctx, m.test)
	if err == nil && passes {
		err = fmt.Errorf("%s passes", m.test)
	}
	return out, err
}

// sound says why a test of the module at root does not pass while nothing is broken; nil means that
// it does.
func sound(ctx context.Context, p program, test string) error {
	passes, out, err := p.passes(ctx, test)
	if err == nil && !passes {
		err = errors.New("it fails")
	}
	if err != nil {
		return fmt.Errorf("%s proves nothing, since nothing is broken: %w\n%s", test, err, out)
	}
	return nil
}

// TestPlaces: each mutant of the table has its place in the sources.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		_, err := m.source(filepath.Join("..", ".."))
		assert.NoError(t, err, m.breach)
	}
}

// TestMutantsInside breaks the sources in each way of the table. The named test must pass before,
// and then fail.
func TestMutantsInside(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	rooms, broken := map[string][]mutant{}, 0
	for i, m := range mutants {
		if i%*every == 0 {
			rooms[m.room()] = append(rooms[m.room()], m)
			broken++
		}
	}
	var caught atomic.Int64
	t.Run("in", func(t *testing.T) {
		for room, all := range rooms {
			t.Run(room, func(t *testing.T) {
				t.Parallel()
				whole, err := build(t.Context(), root, room, filepath.Join(t.TempDir(), "whole.test"))
				require.NoError(t, err)
				tried := map[string]bool{}
				for _, m := range all {
					if !tried[m.test] {
						require.NoError(t, sound(t.Context(), whole, m.test))
						tried[m.test] = true
					}
					t.Run(m.breach, func(t *testing.T) {
						out, err := m.uncaught(t.Context(), root, t.TempDir())
						if assert.NoError(t, err, out) {
							caught.Add(1)
							t.Logf("caught by %s: %s", m.test, m.breach)
						}
					})
				}
			})
		}
	})
	t.Logf("mutants inside: %d/%d caught, of %d", caught.Load(), broken, len(mutants))
}
