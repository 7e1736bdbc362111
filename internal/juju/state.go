package juju

import (
	"maps"
	"slices"
	"strings"
)

// consumersKey is the key in the unit's state of what went into the consumers' bags. Mostly that is the same for all, and Juju
// hands out the whole state in every hook: so each digest is there once, as a line "DIGEST NUMBER…" with the numbers of its
// relations (Juju takes 64 KiB, ten thousand of them). In Model.Published each relation has a key of its own, and in the state
// of older charms too.
const consumersKey = bagPrefix + consumerEndpoint

const bagPrefix = "bag."

// BagKey is the key in Model.Published of a relation's bag.
func BagKey(relationID string) string { return bagPrefix + relationID }

// decodeState makes Model.Published of the unit's state. A value that is no text is as good as missing.
func decodeState(state map[string]any) map[string]string {
	published := make(map[string]string, len(state))
	for key, value := range state {
		if text, ok := value.(string); ok {
			published[key] = text
		}
	}
	consumers := published[consumersKey]
	delete(published, consumersKey)
	for line := range strings.Lines(consumers) {
		sum, numbers, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, number := range strings.Fields(numbers) {
			published[consumersKey+":"+number] = sum
		}
	}
	return published
}

// encodeState makes the unit's state of Model.Published.
func encodeState(published map[string]string) map[string]string {
	state := map[string]string{}
	relations := map[string][]string{} // digest → numbers
	for key, value := range published {
		if number, ok := strings.CutPrefix(key, consumersKey+":"); ok {
			relations[value] = append(relations[value], number)
		} else {
			state[key] = value
		}
	}
	var lines []string
	for _, sum := range slices.Sorted(maps.Keys(relations)) {
		numbers := relations[sum]
		slices.Sort(numbers)
		lines = append(lines, sum+" "+strings.Join(numbers, " "))
	}
	state[consumersKey] = strings.Join(lines, "\n")
	return state
}
