// Package wayup shows that what the field has goes up to the charm of these sources, and back: unit by unit, with one left
// behind for a while, while clients write and read through a proxy and directly.
//
// The rule it keeps: whenever the model is at rest, every consumer is told the same by every unit and every member is the one
// that it was; and no consumer's credentials change, at no moment.
package wayup
