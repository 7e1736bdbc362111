package proxy

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"gopkg.in/yaml.v3"
)

func mustYAML(tb testing.TB, c Config) []byte {
	tb.Helper()
	data, err := yaml.Marshal(c)
	require.NoError(tb, err)
	return data
}

// TestLook: what an application gets is kept apart from what the members answer.
func TestLook(t *testing.T) {
	t.Parallel()
	c := startCluster(t, clusterOptions{size: 3, clientPort: "2479"})
	cfg := c.config()
	cfg.Socket = socketHere(t)
	cfg.Listen = []string{net.JoinHostPort(freshIP(t), "2379")}
	path := filepath.Join(t.TempDir(), "proxy.yaml")
	replaceFile(t, path, mustYAML(t, cfg))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), proxyEnv+"="+path)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	through := []Address{{"tcp", cfg.Listen[0]}, {"unix", cfg.Socket.Path}}
	ctx := within(t, 5*time.Minute)

	// It has just been started, and is waited for.
	probes, errs := Look(ctx, cfg, through)
	assert.Equal(t, []error{nil, nil}, errs)
	for _, p := range probes {
		assert.True(t, p.Reads)
		assert.Empty(t, p.Alarms)
	}
	_, errs = Look(ctx, cfg, nil)
	assert.Empty(t, errs)

	// The proxy hangs, and its members serve.
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	probes, errs = Look(ctx, cfg, through)
	assert.True(t, probes[0].Reads)
	assert.Equal(t, []error{errNoAnswer, errNoAnswer}, errs)
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	require.NoError(t, os.Remove(cfg.Socket.Path))
	_, errs = Look(ctx, cfg, through)
	require.NoError(t, errs[0])
	require.ErrorContains(t, errs[1], "no such file")

	// Members answer reads, and refuse writes.
	id, err := c.client(t).Status(ctx, c.nodes[0].member.ClientURL)
	require.NoError(t, err)
	alarm := func(action pb.AlarmRequest_AlarmAction) {
		_, err := pb.NewMaintenanceClient(c.client(t).ActiveConnection()).Alarm(ctx, &pb.AlarmRequest{
			Action: action, MemberID: id.Header.MemberId, Alarm: pb.AlarmType_NOSPACE,
		})
		require.NoError(t, err)
	}
	alarm(pb.AlarmRequest_ACTIVATE)
	require.Eventually(t, func() bool {
		probes, errs = Look(ctx, cfg, through[:1])
		return errs[0] == nil && slices.Equal(probes[0].Alarms, []string{"NOSPACE"}) && probes[0].Reads
	}, time.Minute, 100*time.Millisecond)
	alarm(pb.AlarmRequest_DEACTIVATE)

	// Two of three members are off: the third answers, and nothing can be read or written.
	c.nodes[1].kill()
	c.nodes[2].kill()
	require.Eventually(t, func() bool {
		probes, errs = Look(ctx, cfg, through[:1])
		return probes[0].Reachable && !probes[0].Reads && errs[0] != nil
	}, time.Minute, 100*time.Millisecond)
	assert.Contains(t, probes[0].Error, "cannot read through the quorum")
}
