package secondlife

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestRestoreWithAlarms: alarms of a former member, by which etcd refuses writes, are off.
func TestRestoreWithAlarms(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	c := member(t)
	put(t, c, 3)
	_, err := c.Put(t.Context(), OwnKeys+"turn", "etcd/0")
	require.NoError(t, err)
	for _, alarm := range []pb.AlarmType{pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT} {
		_, err := pb.NewMaintenanceClient(c.ActiveConnection()).Alarm(t.Context(),
			&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: alarm, MemberID: 0xfeed})
		require.NoError(t, err)
	}
	words, err := u.PrepareRestore(t.Context(), request("op", plain(t, c)), nil)
	require.NoError(t, err)
	assert.Contains(t, words, "alarm NOSPACE was on and is off")
	assert.Contains(t, words, "alarm CORRUPT was on and is off")
	served(t, u, "op", func(ctx context.Context, s *server) {
		alarms, err := s.AlarmList(ctx)
		require.NoError(t, err)
		assert.Empty(t, alarms.Alarms)
		all, err := s.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithCountOnly())
		require.NoError(t, err)
		assert.EqualValues(t, 3, all.Count)
		_, err = s.Put(ctx, "new", "value")
		require.NoError(t, err)
	})
}

// TestRestoreOddKeys: names that are no text, empty values, keys that were deleted and made in
// one revision, and a lease.
func TestRestoreOddKeys(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	c := member(t)
	ctx := t.Context()
	put(t, c, 3)
	for _, key := range []string{"\x00", "\x00\x00", "\xff\xfe"} {
		_, err := c.Put(ctx, key, "")
		require.NoError(t, err)
	}
	for _, ops := range [][]clientv3.Op{
		{clientv3.OpDelete("key0001"), clientv3.OpPut("key0009", "made")},
		{clientv3.OpDelete("key0009"), clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("key0010", "made")}, nil)},
	} {
		_, err := c.Txn(ctx).Then(ops...).Commit()
		require.NoError(t, err)
	}
	lease, err := c.Grant(ctx, 300)
	require.NoError(t, err)
	_, err = c.Put(ctx, "leased", "value", clientv3.WithLease(lease.ID))
	require.NoError(t, err)
	file := plain(t, c)
	words, err := u.PrepareRestore(ctx, request("op", file), nil)
	require.NoError(t, err)
	assert.Contains(t, words, "7 keys, revision 10")
	words, err = u.Drill(ctx, request("drill", file), nil)
	require.NoError(t, err)
	assert.Contains(t, words, "can be restored: 7 keys")
}
