package model

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkManyRelations measures the tools that list all relations, with a thousand of them.
func BenchmarkManyRelations(b *testing.B) {
	w := newWorld(b, "")
	w.deploy("thing", 1)
	w.settle()
	require.NoError(b, w.UpdateStatus("thing/0"))
	w.on["update-status"] = func(h *hookRun) error {
		for i := range 1000 {
			app := fmt.Sprintf("other%d", i)
			require.NoError(b, w.Deploy(app, newCharm(b), "", nil))
			_, err := w.AddUnit(app, 0)
			require.NoError(b, err)
			key, err := w.Relate("thing:out", app+":in")
			require.NoError(b, err)
			w.units["thing/0"].rels[w.nextRel-1] = &unitRelation{}
			h.tool("state-set", fmt.Sprintf("bag.%s=%064x", key, i))
		}
		for _, tool := range [][]string{{"goal-state"}, {"relation-ids", "out"}, {"state-get"}} {
			b.Run(tool[0], func(b *testing.B) {
				for b.Loop() {
					h.tool(tool[0], append(tool[1:], "--format", "json")...)
				}
			})
		}
		return nil
	}
	_, ran, err := w.Step(b.Context(), "thing/0", w)
	require.NoError(b, err)
	require.True(b, ran)
}
