package wayup

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/sim"
	"github.com/juju-charms/etcd-charm/internal/sim/model"
	"github.com/juju-charms/etcd-charm/test/field"
)

// TestRollbackWhileServing rolls all units back to the field's charm, which knows no operations,
// once a restore is past its point of no return: before its source serves, and after. No unit
// starts its replaced data or founds a cluster, and the present charm ends the restore.
func TestRollbackWhileServing(t *testing.T) {
	t.Parallel()
	archive, err := field.Charm(t.Context(), Field)
	require.NoError(t, err)
	present := os.Getenv("CHARM")
	if present == "" {
		present = filepath.Join("..", "..", "dist", "etcd_"+runtime.GOARCH+".charm")
	}
	before, after := unpacked(t, archive), unpacked(t, present)
	for name, serves := range map[string]bool{"before the source serves": false, "once the source serves": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := sim.New(options(t))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			rollBack(t, &rollback{Sim: s, t: t, field: before, present: after}, serves)
		})
	}
}

// rollback is a model whose etcd is restored from what etcd/1 keeps, with etcd/0 as Juju's leader.
type rollback struct {
	*sim.Sim
	t              *testing.T
	field, present Release
	old            string // the cluster that is replaced
}

func rollBack(t *testing.T, r *rollback, serves bool) {
	t.Helper()
	require.NoError(t, r.Model.Deploy(etcd, r.present, r.present.Path, nil))
	for range members {
		_, err := r.Model.AddUnit(etcd, model.NewMachine)
		require.NoError(t, err)
	}
	r.eventually("three voters", func() bool { return r.voters() == members })
	require.NoError(t, r.Model.SetLeader(etcd, "etcd/0"))
	r.eventually("three voters", func() bool { return r.voters() == members })
	r.shell("etcd/0", "etcdctl put fruit apple")
	r.act("etcd/1", "snapshot", nil)
	r.shell("etcd/0", "etcdctl put fruit pear")
	r.old = r.record()["cluster-id"]
	require.NotEmpty(t, r.old)
	r.act("etcd/0", "restore", map[string]any{"snapshot": "latest", "source": "etcd/1", "confirm": "id-" + r.old})

	r.stepUntil("the point of no return", r.Model.Units(etcd), func() bool {
		return strings.Contains(r.record()["operation"], `"phase":"serving"`)
	})
	if serves {
		r.stepUntil("the new cluster", []string{"etcd/1"}, func() bool { return r.serves("etcd/1") == r.record()["cluster-id"] })
	} else {
		require.Empty(t, r.serves("etcd/1"))
	}

	require.NoError(t, r.Model.Refresh(etcd, r.field, r.field.Path))
	want := r.record()["cluster-id"]
	require.NotEqual(t, want, r.old)
	for range 4 {
		r.settle()
		assert.Equal(t, want, r.record()["cluster-id"])
		for _, unit := range r.Model.Units(etcd) {
			is := r.serves(unit)
			t.Logf("%s serves %q: %v", unit, is, r.Model.Status().Applications[etcd].Units[unit].Workload)
			assert.NotEqual(t, r.old, is, "%s serves what was replaced", unit)
			if !serves {
				assert.Empty(t, is, unit)
			}
		}
	}
	if serves {
		assert.Equal(t, want, r.serves("etcd/1"))
	}

	require.NoError(t, r.Model.Refresh(etcd, r.present, r.present.Path))
	r.eventually("three voters again", func() bool { return r.voters() == members })
	for _, unit := range r.Model.Units(etcd) {
		assert.Equal(t, want, r.serves(unit))
		assert.Equal(t, "apple", r.shell(unit, "etcdctl get fruit --print-value-only"))
	}
	assert.Contains(t, r.record()["operation"], `"outcome":"done"`)
}

// record is the peer application bag.
func (r *rollback) record() map[string]string {
	for _, rel := range r.Model.Relations() {
		if rel.Peer {
			bag, err := r.Model.Bag(strconv.Itoa(rel.ID), etcd)
			require.NoError(r.t, err)
			return bag
		}
	}
	return nil
}

// voters is how many units say that all voters are there.
func (r *rollback) voters() (n int) {
	for _, u := range r.Model.Status().Applications[etcd].Units {
		if strings.HasPrefix(u.Workload.Message, "3/3 voters") {
			n++
		}
	}
	return n
}

// serves is the cluster of the server that runs on a unit; "" is none.
func (r *rollback) serves(unit string) string {
	name := "etcd-charm-" + strings.ReplaceAll(unit, "/", "-")
	if r.shell(unit, "systemctl is-active "+name+" || true") != "active" {
		return ""
	}
	return r.shell(unit, `printf %x $(etcdctl endpoint status -w json | sed -nE 's/.*"cluster_id":([0-9]+).*/\1/p')`)
}

func (r *rollback) act(unit, action string, params map[string]any) {
	r.t.Helper()
	res, _, err := r.Model.RunAction(r.t.Context(), unit, action, params, r.Sim)
	require.NoError(r.t, err)
	require.Equal(r.t, "completed", res.Status, "%s: %s", action, res.Message)
}

func (r *rollback) shell(unit, line string) string {
	r.t.Helper()
	var out, errs bytes.Buffer
	require.NoError(r.t, r.Do(context.WithoutCancel(r.t.Context()), sim.Env{Out: &out, Err: &errs}, "ssh", unit, "sh", "-c", line), errs.String())
	return strings.TrimSpace(out.String())
}

// settle has each unit look again, and runs hooks until none is queued.
func (r *rollback) settle() {
	for _, unit := range r.Model.Units(etcd) {
		require.NoError(r.t, r.Model.UpdateStatus(unit))
	}
	require.NoError(r.t, r.Model.Settle(r.t.Context(), r.Sim, members))
}

func (r *rollback) eventually(what string, done func() bool) {
	r.t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(Patience); ; <-tick.C {
		r.settle()
		if done() {
			return
		}
		require.Less(r.t, time.Now(), deadline, "not %s: %+v", what, r.Model.Status().Applications[etcd].Units)
	}
}

// stepUntil runs one hook after another on some units, and not one more once it is so.
func (r *rollback) stepUntil(what string, units []string, done func() bool) {
	r.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(Patience); ; <-tick.C {
		for _, unit := range units {
			_, ran, err := r.Model.Step(r.t.Context(), unit, r.Sim)
			require.NoError(r.t, err)
			if done() {
				return
			}
			if !ran {
				require.NoError(r.t, r.Model.UpdateStatus(unit))
			}
		}
		require.Less(r.t, time.Now(), deadline, "not %s: %s", what, r.record()["operation"])
	}
}
