// Package wayup shows that the field's charm can be upgraded to the charm of these sources, and
// rolled back: unit by unit, with one left behind for a while, while clients write and read through
// a proxy and directly.
//
// The rule it keeps: whenever the model is at rest, every unit tells every consumer the same and
// every member is still the one that it was; and no consumer's credentials ever change.
package wayup
