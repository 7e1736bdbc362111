package databag

import "fmt"

const (
	// MaxValue is the largest value in bytes that Check lets pass: 1 MiB. What charms in the field
	// exchange (a cluster string, PEM bundles, dashboards) is far smaller.
	MaxValue = 1 << 20
	// MaxBag is the largest bag in bytes, keys and values together: 4 MiB. Juju
	// keeps a bag in one document of its database, whose own bound is 16 MiB.
	MaxBag = 4 << 20
)

// Check returns an error when the bag is larger than MaxBag or a value in it, or a key, larger than
// MaxValue. The error names the relation, the unit or application whose bag it is, and the key,
// never the value. It looks at lengths only and is fast whatever the bag holds.
func Check(relationID, owner string, b Bag) error {
	for _, key := range b.Keys() {
		if size := max(len(key), len(b[key])); size > MaxValue {
			return fmt.Errorf("relation %s: bag of %s: %s has %d bytes, more than the %d allowed",
				relationID, owner, showKey(key), size, MaxValue)
		}
	}
	if size := b.Size(); size > MaxBag {
		return fmt.Errorf(
			"relation %s: bag of %s has %d bytes, more than the %d allowed; its largest value is %s",
			relationID, owner, size, MaxBag, showKey(largest(b)))
	}
	return nil
}

// largest returns the key of the longest value, the first of equals.
func largest(b Bag) string {
	var found string
	for _, key := range b.Keys() {
		if found == "" || len(b[key]) > len(b[found]) {
			found = key
		}
	}
	return found
}
