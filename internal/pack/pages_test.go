package pack_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPagesNameTheArchive: a page that names the archive names the path at which make charm puts
// it.
func TestPagesNameTheArchive(t *testing.T) {
	t.Parallel()
	const root = "../.."
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	require.Contains(t, string(makefile), "-out dist/etcd_$(ARCH).charm")
	archive, named := regexp.MustCompile(`[^\s"'`+"`"+`]*etcd_\w+\.charm`), 0
	page := func(path string) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, name := range archive.FindAllString(string(text), -1) {
			named++
			assert.Regexp(t, `^(\./)?dist/etcd_(amd64|arm64)\.charm$`, name, path)
		}
	}
	page(filepath.Join(root, "README.md"))
	page(filepath.Join(root, "CONTRIBUTING.md"))
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			page(path)
		}
		return err
	}))
	assert.Positive(t, named)
}
