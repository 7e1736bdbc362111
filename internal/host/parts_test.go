package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// A step does whatever does not depend on the part that fails. A step that did all or nothing would
// lose certificates because of a list, and the server because of etcdctl's presets.
func TestPartsOfAStepStandAlone(t *testing.T) {
	t.Parallel()
	const serial = "fedcba9876543210fedcba9876543210" // serial of a unit's certificate
	block := func(t *testing.T, u *unit) {            // makes it impossible to create the link to etcdctl
		t.Helper()
		bin := filepath.Dir(u.tool("etcdctl"))
		require.NoError(t, os.MkdirAll(filepath.Dir(bin), 0o755))
		require.NoError(t, os.Symlink("nowhere", bin))
	}
	for name, tt := range map[string]func(*testing.T, *unit) (step operator.Step, failed string, done func() bool){
		"certificates without the client port's list": func(_ *testing.T, u *unit) (operator.Step, string, func() bool) {
			before, step := u.lookTLS(u.model()), u.writeAll()
			step.Revoked.Relations = []operator.Ended{{RelationID: "no relation", Generation: 1}}
			step.Revoked.Peer = []string{serial}
			return step, "revocation list", func() bool {
				now := u.lookTLS(u.model())
				return now.Peer.Serial != before.Peer.Serial && now.Server.Serial != before.Server.Serial &&
					now.Admin.Serial != before.Admin.Serial && len(now.Refused.Peer) == 1
			}
		},
		"certificates without the peer port's list": func(_ *testing.T, u *unit) (operator.Step, string, func() bool) {
			before, step := u.lookTLS(u.model()), u.writeAll()
			step.Revoked.Refused = operator.Refused{Client: []string{serial}, Peer: []string{"no serial"}}
			return step, "revocation list", func() bool {
				now := u.lookTLS(u.model())
				return now.Peer.Serial != before.Peer.Serial && len(now.Refused.Client) == 1
			}
		},
		"one certificate without another": func(_ *testing.T, u *unit) (operator.Step, string, func() bool) {
			before, step := u.lookTLS(u.model()), u.writeAll()
			step.PeerSANs = []string{"no name!"}
			return step, "SAN", func() bool {
				now := u.lookTLS(u.model())
				return now.Server.Serial != before.Server.Serial && now.Admin.Serial != before.Admin.Serial
			}
		},
		"a member without etcdctl": func(t *testing.T, u *unit) (operator.Step, string, func() bool) {
			t.Helper()
			block(t, u)
			step := operator.WriteMember{Server: u.server(operator.Initial{})}
			return step, "etcdctl", func() bool {
				_, err := os.Stat(u.unitFile())
				lines, unread := envLines(u.memberEnv())
				return err == nil && unread == nil && lines != nil
			}
		},
		"a proxy without etcdctl": func(t *testing.T, u *unit) (operator.Step, string, func() bool) {
			t.Helper()
			block(t, u)
			step := operator.WriteProxy{Upstream: operator.Upstream{Release: "1", Listen: []string{"127.0.0.1:2379"}}}
			return step, "etcdctl", func() bool {
				_, err := os.Stat(u.unitFile())
				_, unread := os.Stat(u.proxyConfig())
				return err == nil && unread == nil
			}
		},
		"old releases without etcdctl": func(t *testing.T, u *unit) (operator.Step, string, func() bool) {
			t.Helper()
			block(t, u)
			carried, err := carriedRelease(u.carried, u.stamp)
			require.NoError(t, err)
			for _, old := range []string{"1", "2", "3", "4"} {
				require.NoError(t, os.MkdirAll(u.release(old), 0o755))
				require.NoError(t, os.WriteFile(u.binary(old), nil, 0o755))
			}
			return operator.Install{Release: carried}, "etcdctl", func() bool {
				return len(u.installedReleases(carried)) < 5
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Now()
			u, _ := dressed(t, &now)
			step, failed, done := tt(t, u)
			require.ErrorContains(t, u.Do(t.Context(), step), failed)
			assert.True(t, done())
		})
	}
}
