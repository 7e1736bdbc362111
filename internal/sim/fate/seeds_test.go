package fate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHeldUnitIsFound plays what a seed found. A machine goes off just as its unit is about to
// restart with another peer port, and the server starts with that port when the machine comes back.
// Meanwhile all other units leave and a new one comes, which can learn of the cluster only from
// that unit.
func TestHeldUnitIsFound(t *testing.T) {
	t.Parallel()
	s := beginning(t, Options{}, 2)
	defer s.Close()
	s.options = 1
	s.Configure()
	first, second := s.units[0], s.units[1]
	before := second.disk.config
	for n := 0; second.disk.config == before; n++ {
		require.Less(t, n, 100)
		s.Step(second)
	}
	s.Power(second, false)
	s.RemoveUnit(second)
	s.RemoveUnit(first)
	s.AddUnit()
	require.Empty(t, s.Calm())
	require.False(t, s.NeedsAdministrator)
}

// TestFoundSchedules runs again the schedules that random runs found, as shrunk and printed.
func TestFoundSchedules(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		o   Options
		ops string
	}{
		"the first of two to roll its peer port is not listed again, for the other is off; back, that one must not follow": {
			Options{}, "power(0,0) options(0,0) add(0,0) power(0,0) go(106,38) finish(0,0) finish(0,0) finish(215,0) go(135,7) go(125,85) go(3,30) options(0,0) go(239,215) power(0,0) remove(249,0) finish(83,0) time(119,0) finish(91,0) time(69,0) finish(65,0) time(111,0) finish(119,0) time(214,0)",
		},
		"a founder is removed before its cluster is on record, and leads in its last hook, which publishes nothing while it fails": {
			Options{Departed: true, Stale: true}, "finish(0,0) go(3,118) go(0,0) go(1,61) power(0,0) add(0,0) go(87,185) go(235,228) go(3,102) finish(157,0) go(59,166) lead(31,0) remove(0,0) add(0,0) remove(232,0)",
		},
		"the raft leader has a new address and waits to restart after one that leaves, which does not find it": {
			Options{Departed: true, Stale: true}, "add(0,0) go(4,255) finish(0,0) finish(233,0) finish(0,0) add(0,0) go(140,148) go(35,170) go(1,198) finish(20,0) finish(22,0) add(0,0) finish(146,0) finish(247,0) finish(102,0) go(55,43) go(3,107) go(26,119) go(106,210) address(229,0) go(0,0) remove(146,0) options(0,0) remove(0,0)",
		},
		"of two founders the one that had to yield goes last, and does not record another's end": {
			Options{}, "go(0,0) finish(0,0) finish(0,0) finish(0,0) remove(0,0) go(0,151) finish(0,0) add(0,0) add(0,0) go(158,37) go(2,12) go(1,164) lead(177,0) go(3,156) go(2,148) go(3,110) go(235,134) power(49,0) remove(81,0) go(4,103) remove(0,0) time(69,0) lead(0,0)",
		},
		"a member that leaves listens at a port that is neither listed nor what the options say": {
			Options{Departed: true}, "go(3,22) finish(0,0) go(0,209) add(0,0) options(0,0) options(0,0) finish(0,0) go(226,141) time(162,0) go(0,0) time(215,0) time(105,0) remove(0,0) options(0,0)",
		},
		"a machine whose unit is gone runs on, and is taken out while another leaves, which counted on it": {
			Options{Stale: true}, "finish(0,0) go(1,127) add(0,0) go(3,222) finish(0,0) add(0,0) lose(175,0) finish(176,0) finish(61,0) finish(106,0) finish(154,0) finish(23,0) add(0,0) remove(193,0) force(158,0) add(0,0) go(1,12) finish(0,0)",
		},
		"the last voter leaves, and the learner of a unit that is gone lets nobody in; it has heard only of another port": {
			Options{Departed: true, Stale: true}, "finish(0,0) go(3,149) finish(0,0) add(0,0) go(0,0) go(35,155) go(187,83) go(0,0) go(166,198) go(35,109) island(2,243) remove(243,0) finish(0,0) add(0,0) go(83,175) wipe(127,0) go(206,107) add(0,0) go(62,0) go(112,62) remove(0,0) options(0,0) options(0,0)",
		},
		"the last to leave once heard from another, who is off since, of a cluster that ended before its own": {
			Options{Departed: true, Stale: true}, "finish(0,0) go(0,43) go(3,146) finish(0,0) remove(0,0) finish(0,0) power(0,0) add(0,0) go(89,54) go(135,206) go(95,113) go(241,0) lead(215,0) go(5,73) finish(7,0) go(89,0) go(15,156) remove(29,0) go(9,159) go(89,22) add(0,0) go(112,124)",
		},
		"a founder that came too late is removed, and the cluster on record serves at a port that it cannot hear of": {
			Options{Stale: true}, "finish(0,0) go(0,0) go(0,157) go(0,0) go(0,0) add(0,0) lead(161,0) go(1,167) finish(19,0) go(2,87) go(88,210) power(239,0) go(0,0) time(73,0) go(4,30) go(8,166) options(0,0) finish(0,0) go(4,165) go(2,41) go(206,6) finish(0,0) remove(0,0)",
		},
		"the first of two to roll its peer port runs out of time before it is listed again, and its turn lapses": {
			Options{}, "go(0,229) options(0,0) go(1,66) go(0,3) add(0,0) finish(0,0) add(0,0) finish(115,0) go(37,55) options(0,0) finish(121,0) go(193,215) finish(179,0) go(215,54) go(209,245) go(186,202) go(2,45) time(54,0) add(0,0) go(92,154) go(3,95) crash(0,0)",
		},
		"settings are spoilt between their writing and the restart that is to take them up": {
			Options{}, "add(0,0) finish(0,0) go(0,0) lead(193,0) finish(65,0) go(1,246) finish(249,0) add(0,0) options(0,0) finish(0,0) finish(0,0) go(208,14) spoil(193,0)",
		},
		"the turn is squatted when all leave: a stop hook that fails remembers nothing": {
			Options{Departed: true, Stale: true}, "go(2,255) add(0,0) go(38,22) finish(0,0) finish(139,0) finish(155,0) remove(0,0) squat(0,0) remove(233,0)",
		},
		"one leaves while another, whose turn has run out, is cut off and down by its own leave": {
			Options{Departed: true, Stale: true}, "go(2,182) finish(0,0) finish(0,0) finish(0,0) add(0,0) go(158,226) go(0,163) add(0,0) add(0,0) go(250,0) finish(61,0) remove(211,0) go(188,0) refresh(0,0) finish(199,0) finish(236,0) go(249,110) go(89,0) go(2,44) crash(0,0) finish(143,0) add(0,0) go(154,214) add(0,0) go(162,0) go(4,183) time(0,0) remove(217,0) finish(188,0) go(2,49) go(2,36) time(237,0) finish(13,0) finish(199,0) go(0,20) island(2,93) go(0,225) time(194,0) remove(0,0) go(0,37) go(187,0) time(233,0) finish(0,0)",
		},
		"all leave, and the last to stay has heard nothing of the member that has joined it meanwhile and is off": {
			Options{Departed: true, Stale: true}, "go(0,37) go(0,110) go(1,197) remove(0,0) add(0,0) finish(219,0) finish(19,0) finish(0,0) go(1,91) go(1,15) go(137,0) go(41,0) go(3,76) go(35,165) power(203,0) crash(0,0) remove(207,0) time(231,0) go(26,49)",
		},
		"two founded who lost the leadership before they could say so, and a third leads": {
			Options{Departed: true, Stale: true}, "finish(0,0) go(0,133) go(4,14) add(0,0) lead(73,0) add(0,0) add(0,0) finish(254,0) finish(162,0) add(0,0) finish(147,0) go(2,234) go(2,211) go(0,215) lead(212,0) time(157,0) options(0,0) go(0,0) go(0,190) go(2,5) lead(196,0) finish(72,0) finish(131,0) time(22,0)",
		},
		"a founder that lost the leadership for a while is removed as it gets it back, and others wait for the record to join": {
			Options{Departed: true, Stale: true}, "go(1,197) kill(0,0) go(3,123) go(0,0) go(4,255) go(1,165) power(0,0) deaf(0,0) add(0,0) power(0,0) lead(241,0) time(143,0) go(157,0) go(148,241) remove(83,0) go(145,22) finish(61,0) add(0,0) finish(208,0) finish(205,0) go(2,50) go(0,113) go(178,38) finish(247,0) go(0,158) go(106,126) remove(0,0)",
		},
		"a learner that has not started comes back with an empty disk and a new address, of which who leaves does not hear": {
			Options{Stale: true}, "go(2,44) go(2,93) go(1,21) go(2,39) go(3,236) add(0,0) finish(225,0) go(35,244) go(185,111) island(0,75) finish(0,0) finish(235,0) finish(0,0) address(3,0) go(26,221) add(0,0) wipe(4,0) remove(0,0)",
		},
		"the options change before the first start is taken out of the settings, and the machine comes back with an empty disk": {
			Options{Stale: true}, "finish(0,0) time(0,0) go(2,236) go(0,0) finish(0,0) add(0,0) add(0,0) finish(91,0) go(1,234) finish(236,0) finish(140,0) go(250,207) options(0,0) kill(214,0) time(2,0) go(58,3) wipe(28,203)",
		},
		"all leave, and nobody finds a member at its new address, without which the dead one cannot be taken out": {
			Options{Stale: true}, "finish(0,0) go(1,82) add(0,0) go(1,12) go(0,43) finish(0,0) go(1,110) remove(75,0) finish(227,0) add(0,0) go(224,15) go(2,29) go(44,21) go(223,140) go(104,71) go(44,20) go(44,151) address(0,0) go(73,101) go(55,250) go(100,5) remove(55,0) add(0,0) finish(233,0) finish(0,0) finish(221,0) lead(238,0) force(98,1) remove(0,0)",
		},
		"the last unit has ended its cluster, and cannot hear of it in its last hook": {
			Options{Departed: true, Stale: true}, "finish(0,0) finish(0,0) go(3,157) remove(0,0) finish(0,0) go(4,106) add(0,0) deaf(0,0) add(0,0) add(0,0) go(131,0) go(227,76) go(127,98) finish(0,0) go(92,134) add(0,0)",
		},
		"settings with another port are written, then the restart has to wait, and the machine starts again": {
			Options{Departed: true, Stale: true}, "finish(0,0) finish(0,0) finish(0,0) finish(0,0) finish(0,0) finish(0,0) options(0,0) finish(0,0) add(0,0) finish(51,0) options(0,0) go(2,166) finish(235,0) go(206,155) remove(159,0) add(0,0) finish(233,0) finish(239,0) options(0,0) go(239,82) finish(208,0) finish(100,0) go(97,213) power(0,0) go(195,0)",
		},
		"two founders are removed before either is on record, and the one that leads does not find the other": {
			Options{Departed: true, Stale: true}, "go(3,89) add(0,0) finish(147,0) go(3,231) go(185,12) go(4,165) go(138,214) lead(159,0) finish(0,0) go(125,142) time(195,0) go(3,90) go(0,213) go(96,3) power(0,0) go(75,165) options(0,0) power(31,0) remove(43,0) power(0,0) finish(0,0) add(0,0) go(0,175) go(0,0) go(126,50) go(3,188) remove(0,0)",
		},
		"a founder that nobody was told of is removed before it has run start, so that it has no stop to leave in": {
			Options{Departed: true, Stale: true}, "go(0,183) go(4,190) go(1,235) go(0,2) power(0,0) remove(0,0) power(0,0) go(4,100) power(0,0) power(0,0) finish(0,0) add(0,0)",
		},
		"a consumer vanishes before its unit has joined, and then there is something to tell it": {
			Options{Departed: true}, "go(3,227) go(2,93) go(0,0) go(0,17) finish(0,0) vanish(0,0) add(0,0)",
		},
		"of two founders one is removed, is put on record meanwhile, does not hear of it, and finds the other's cluster": {
			Options{Departed: true, Stale: true}, "add(0,0) go(6,204) finish(219,0) go(0,255) lead(185,0) finish(0,0) go(116,53) unrelate(0,0) go(1,45) go(2,79) lead(0,0) add(0,0) go(144,188) finish(22,0) time(98,0) finish(103,0) go(4,55) go(127,218) finish(205,0) go(10,77) lead(23,0) power(73,0) finish(0,0) remove(67,0) time(101,0) finish(158,0) refresh(0,0) go(53,230) finish(0,0)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			problem, _ := run(tc.o, parse(t, tc.ops))
			require.Empty(t, problem)
		})
	}
}

// parse reads ops in the form that String writes.
func parse(t *testing.T, text string) []Op {
	t.Helper()
	var ops []Op
	for word := range strings.FieldsSeq(text) {
		name, numbers, _ := strings.Cut(word, "(")
		kind := slices.IndexFunc(weights, func(i int) bool { return kinds[i].name == name })
		require.GreaterOrEqual(t, kind, 0, word)
		o := Op{Kind: uint8(kind)}
		_, err := fmt.Sscanf(numbers, "%d,%d)", &o.A, &o.B)
		require.NoError(t, err, word)
		ops = append(ops, o)
	}
	return ops
}
