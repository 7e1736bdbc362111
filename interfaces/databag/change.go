package databag

import "slices"

// A Change is the difference between one bag and another. Its zero value changes nothing.
type Change struct {
	// Set holds the settings to write, none of them empty.
	Set Bag
	// Delete names the keys to remove, sorted; none of them is in Set.
	Delete []string
}

// Diff returns the smallest Change that makes the old bag hold what the new one holds. An empty
// value in either counts as an absent key, as in Juju. For equal bags it is the zero Change.
// Neither bag is kept or changed.
func Diff(old, updated Bag) Change {
	var change Change
	for key, value := range updated {
		if value == "" || old[key] == value {
			continue
		}
		if change.Set == nil {
			change.Set = make(Bag)
		}
		change.Set[key] = value
	}
	for key, value := range old {
		if value != "" && updated[key] == "" {
			change.Delete = append(change.Delete, key)
		}
	}
	slices.Sort(change.Delete)
	return change
}

// IsZero reports whether there is nothing to write.
func (c Change) IsZero() bool {
	return len(c.Set) == 0 && len(c.Delete) == 0
}

// Settings is the change as relation-set takes it: one map in which an empty
// value removes its key. It is nil when there is nothing to write.
func (c Change) Settings() map[string]string {
	if c.IsZero() {
		return nil
	}
	settings := make(map[string]string, len(c.Set)+len(c.Delete))
	for _, key := range c.Delete {
		settings[key] = ""
	}
	for key, value := range c.Set {
		settings[key] = value
	}
	return settings
}
