package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/host"
	"github.com/juju-charms/etcd-charm/internal/juju"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// meter is Juju that takes everything and counts it.
type meter struct{ calls, bytes int }

func (m *meter) Run(_ context.Context, stdin []byte, _ string, args ...string) ([]byte, error) {
	m.calls++
	m.bytes += len(stdin)
	for _, a := range args {
		m.bytes += len(a)
	}
	return nil, nil
}

// BenchmarkPublish prints what publishing costs in hook tool calls and bytes: it grows with the relations that changed and
// not with those that there are.
func BenchmarkPublish(b *testing.B) {
	h := host.New(host.Options{Root: b.TempDir(), Unit: "etcd/0", Rand: rand.Reader, Now: time.Now})
	authority, err := h.NewAuthority("etcd")
	require.NoError(b, err)
	for _, there := range []int{1, 10, 100, 1000} {
		for _, changed := range []int{0, 1, there} {
			if changed == there && there == 1 {
				continue
			}
			b.Run(fmt.Sprintf("relations=%d/changed=%d", there, changed), func(b *testing.B) {
				model := operator.Model{
					UUID: "00000000-0000-4000-8000-000000000000", Unit: "etcd/0", App: "etcd",
					Authority: operator.Know(&authority), Published: map[string]string{},
				}
				for i := range there {
					model.Published[juju.BagKey(fmt.Sprintf("proxy:%d", i))] = "0123456789abcdef0123456789abcdef"
				}
				plan := operator.Plan{
					Published: map[string]string{},
					Status:    operator.Status{Level: operator.Active, Message: "3/3 voters"},
				}
				for i := range changed {
					id := fmt.Sprintf("proxy:%d", i)
					plan.Consumers = append(plan.Consumers, operator.Publication{
						RelationID: id, Version: "3.7.3", Period: 230,
						Cluster:    "etcd0=https://10.0.0.10:2380,etcd1=https://10.0.0.11:2380,etcd2=https://10.0.0.12:2380",
						ClientURLs: []string{"https://10.0.0.10:2379", "https://10.0.0.11:2379", "https://10.0.0.12:2379"},
					})
					plan.Published[juju.BagKey(id)] = "fedcba9876543210fedcba9876543210"
				}
				var m meter
				for b.Loop() {
					m = meter{}
					require.NoError(b, juju.Flush(b.Context(), &m, model, plan, minter{h, "etcd"}))
				}
				b.ReportMetric(float64(m.calls), "calls")
				b.ReportMetric(float64(m.bytes), "bytes")
			})
		}
	}
}
