package snapshot

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Users are who may log in to a database once authentication is on in it.
type Users struct {
	Count int      `json:"count"`
	Names []string `json:"names,omitempty"` // the first of them, sorted; long ones are cut
	Auth  bool     `json:"authentication"`  // whether it is on
}

// ReadUsers reads the users of a database whose pages have been checked.
type ReadUsers func(file string) (Users, error)

// What of users is kept: etcd bounds neither how many there are nor how long their names are.
const (
	mostNames = 20
	mostName  = 40 // characters
)

// Add counts a user. Names come in order.
func (u *Users) Add(name []byte) {
	u.Count++
	if len(u.Names) == mostNames {
		return
	}
	text := []rune(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(name)))
	if len(text) > mostName {
		text = append(text[:mostName-1], '…')
	}
	u.Names = append(u.Names, string(text))
}

// of reads the users of a checked database; nil means that they are not known, which does not make
// the snapshot bad.
func (read ReadUsers) of(file string) *Users {
	if read == nil {
		return nil
	}
	users, err := read(file)
	if err != nil {
		return nil
	}
	return &users
}
