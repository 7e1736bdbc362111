package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSchedule(t *testing.T) {
	t.Parallel()
	deal := func(seed uint64) (all []step, maintenance, faults []string) {
		s := newSchedule(seed, maintenanceNames, faultNames)
		for range 60 {
			st := s.next()
			all = append(all, st)
			if st.maintenance != "" {
				maintenance = append(maintenance, st.maintenance)
			}
			if st.fault != "" {
				faults = append(faults, st.fault)
			}
			assert.NotEmpty(t, st.String())
		}
		return all, maintenance, faults
	}
	one, maintenance, faults := deal(1)
	again, _, _ := deal(1)
	other, _, _ := deal(2)
	assert.Equal(t, one, again)
	assert.NotEqual(t, one, other)
	assert.ElementsMatch(t, maintenanceNames, maintenance[:len(maintenanceNames)], "each comes up before one comes up again")
	dealt := slices.DeleteFunc(slices.Clone(faultNames), func(name string) bool { return name == founding })
	assert.ElementsMatch(t, dealt, faults[:len(dealt)])
	assert.NotContains(t, faults, founding, "it befalls the cluster before the first step")
	assert.True(t, slices.ContainsFunc(one, func(s step) bool { return s.maintenance == "" }))
	assert.True(t, slices.ContainsFunc(one, func(s step) bool { return s.fault == "" }))
	assert.True(t, slices.ContainsFunc(one, func(s step) bool { return s.maintenance != "" && s.fault != "" }))
}
