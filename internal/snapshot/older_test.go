package snapshot

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// older are the snapshots that older releases of etcd wrote, and the versions of their storage.
// etcd did not write one before 3.6, and removes it for a downgrade.
var older = map[string]string{"3.4.23": "", "3.5.35": "", "3.6.16": "3.6.0", "3.6.16-downgrade": ""}

// TestOlderSnapshots: what etcd 3.4, 3.5 and 3.6 saved is verified, plain and packed. A copy of the
// database file is verified only if the caller says that it may be unverified. A file that is cut
// off or changed is refused.
func TestOlderSnapshots(t *testing.T) {
	t.Parallel()
	for name, version := range older {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := request(t, t.TempDir())
			raw := filepath.Join(r.Dir, "unpacked")
			verify := func(path string, unverified bool) error {
				s, err := VerifyFile(t.Context(), path, raw, r.Etcdutl, unverified, nil)
				require.NoFileExists(t, raw)
				if err == nil {
					assert.EqualValues(t, 13, s.Revision)
					assert.Equal(t, 183, s.Keys)
					assert.Equal(t, version, s.Version)
				}
				return err
			}
			packed := filepath.Join("testdata", "older", name+".db.zst")
			require.NoError(t, verify(packed, false))
			copied := filepath.Join("testdata", "older", name+"-raw.db.zst")
			require.ErrorIs(t, verify(copied, false), errUnhashed)
			require.NoError(t, verify(copied, true))

			plain := filepath.Join(r.Dir, "plain.db")
			data := unzstd(t, packed)
			lay := func(data []byte) {
				require.NoError(t, os.WriteFile(plain, data, 0o600))
			}
			lay(data)
			require.NoError(t, verify(plain, false))
			size, err := Look(t.Context(), plain)
			require.NoError(t, err)
			assert.EqualValues(t, len(data)-32, size)
			lay(data[:len(data)-32])
			require.ErrorIs(t, verify(plain, false), errUnhashed)
			require.NoError(t, verify(plain, true))

			for cut := 0; cut < len(data); cut += 512 {
				lay(data[:cut])
				require.Error(t, verify(plain, false), "cut at %d", cut)
				_ = verify(plain, true) // if it is taken, nothing is missing
			}
			for i := range 100 {
				at := i * (len(data) - 1) / 99
				bad := append([]byte{}, data...)
				bad[at] ^= 0x40
				lay(bad)
				require.Error(t, verify(plain, false), "flipped at %d", at)
			}
		})
	}
}

// unzstd is what a packed file holds.
func unzstd(t *testing.T, path string) []byte {
	t.Helper()
	packed, err := os.ReadFile(path)
	require.NoError(t, err)
	z, err := zstd.NewReader(nil)
	require.NoError(t, err)
	defer z.Close()
	data, err := z.DecodeAll(packed, nil)
	require.NoError(t, err)
	return data
}
