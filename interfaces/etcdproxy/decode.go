package etcdproxy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/credentials"
	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// A Problem is what keeps a requirer from using all that its provider has published.
// It names the relation, the unit and the setting, and repeats nothing of the value.
// The zero Problem is none.
type Problem struct {
	Relation string // the relation's ID
	Unit     string // the remote unit whose bag has it
	Key      string // the setting
	Reason   string // in words, the setting's name included
}

// IsZero reports whether there is no problem.
func (p Problem) IsZero() bool { return p == Problem{} }

// String is the problem in one line: "relation upstream:3: unit etcd/0: cluster: piece 2
// has no URL". It is empty when there is none.
func (p Problem) String() string {
	if p.IsZero() {
		return ""
	}
	return fmt.Sprintf("relation %s: unit %s: %s", p.Relation, p.Unit, p.Reason)
}

// Decode reads what the provider's units have published. now is in seconds since the
// Unix epoch; an expired certificate is refused.
//
// The bags should all be the same, but while the provider changes they are not. So each unit's bag
// is read, in natural order of the units, and the first that is whole and valid is the answer: it
// has a cluster string, and credentials if any of its URLs is https. A bag whose certificate is not
// valid yet counts only if none has a valid one: the clock of its unit may be ahead. If no bag is
// whole, the answer is put together from the first valid one of each part. The three credentials
// are one part. If no unit has all three, they are taken one by one from the units that have them,
// as existing readers do, and used if they belong together.
//
// The Problem is the first fault in a part that no unit has in good order. So it may come with
// data: half of the credentials is a Problem, but the members are still good. A part that is only
// missing yet is not a Problem.
//
// Values of any size are refused by their length before they are parsed.
func Decode(rel databag.Relation, now int64) (Data, Problem) {
	readings := make([]reading, 0, len(rel.Units))
	var early *Data
	for unit, bag := range rel.All() {
		r := readBag(unit, bag, now)
		switch {
		case !r.whole():
		case r.data.Credentials.Begun(now):
			return r.data.finish(), Problem{}
		case early == nil:
			early = &r.data
		}
		readings = append(readings, r)
	}
	if early != nil {
		return early.finish(), Problem{}
	}
	data := merge(readings)
	if data.Credentials.IsZero() {
		data.Credentials = gather(rel, now)
	}
	for _, r := range readings {
		for _, f := range r.faults {
			if !data.has(f.Key) {
				return data.finish(), Problem{Relation: rel.ID, Unit: r.unit, Key: f.Key, Reason: f.Text}
			}
		}
	}
	return data.finish(), Problem{}
}

// A reading is one unit's bag: the valid parts, and why the others are not.
type reading struct {
	unit   string
	data   Data
	faults []*credentials.FaultError
}

func readBag(unit string, bag databag.Bag, now int64) reading {
	r := reading{unit: unit}
	var err error
	if text := bag[KeyCluster]; text != "" {
		if r.data.Members, err = parseCluster(text); err != nil {
			r.refuse(KeyCluster, err)
		}
	}
	if found := credentials.In(bag); !found.IsZero() {
		if err := found.Check(now); err != nil {
			r.refuse(KeyClientKey, err)
		} else {
			r.data.Credentials = found.Canonical()
		}
	}
	if schema := bag[KeySchema]; schema != "" && schema != Schema {
		return r // a later provider: its settings from 2016 mean what they always did
	}
	if text := bag[KeyClientURLs]; text != "" {
		if r.data.ClientURLs, err = parseURLs(text); err != nil {
			r.refuse(KeyClientURLs, err)
		}
	}
	if text := bag[KeyVersion]; text != "" {
		if err := checkVersion(text); err != nil {
			r.refuse(KeyVersion, err)
		} else {
			r.data.Version = text
		}
	}
	return r
}

func (r *reading) refuse(key string, err error) {
	var f *credentials.FaultError
	if !errors.As(err, &f) {
		f = &credentials.FaultError{Key: key, Text: fmt.Sprintf("%s: %v", key, err)}
	}
	r.faults = append(r.faults, f)
}

// whole reports whether a requirer needs nothing besides this bag.
func (r *reading) whole() bool {
	return len(r.faults) == 0 && len(r.data.Members) > 0 &&
		(r.data.Credentials.Complete() || !r.data.needsTLS())
}

// merge takes each part from the first unit that has a valid one.
func merge(readings []reading) Data {
	var data Data
	for _, r := range readings {
		if len(data.Members) == 0 {
			data.Members = r.data.Members
		}
		if len(data.ClientURLs) == 0 {
			data.ClientURLs = r.data.ClientURLs
		}
		if data.Version == "" {
			data.Version = r.data.Version
		}
		if data.Credentials.IsZero() {
			data.Credentials = r.data.Credentials
		}
	}
	return data
}

// gather takes the credentials one by one from the first unit that has each, and returns them if
// they belong together.
func gather(rel databag.Relation, now int64) Credentials {
	var found Credentials
	for _, bag := range rel.All() {
		offered := credentials.In(bag)
		for _, part := range []struct{ into, from *string }{
			{&found.Cert, &offered.Cert}, {&found.Key, &offered.Key}, {&found.CA, &offered.CA},
		} {
			if *part.into == "" {
				*part.into = *part.from
			}
		}
	}
	if found.Check(now) != nil {
		return Credentials{}
	}
	return found.Canonical()
}

// has reports whether the data holds the part that the setting belongs to.
func (d Data) has(key string) bool {
	switch key {
	case KeyCluster:
		return len(d.Members) > 0
	case KeyClientURLs:
		return len(d.ClientURLs) > 0
	case KeyVersion:
		return d.Version != ""
	default:
		return !d.Credentials.IsZero()
	}
}

// needsTLS reports whether a URL of the cluster is https.
func (d Data) needsTLS() bool {
	for _, member := range d.Members {
		if strings.HasPrefix(member.PeerURL, "https:") {
			return true
		}
	}
	return false
}

// finish gives each member its client URL, if one member and one client URL have that host.
func (d Data) finish() Data {
	members, urls := make(map[string]int), make(map[string][]string)
	for _, member := range d.Members {
		members[hostOf(member.PeerURL)]++
	}
	for _, url := range d.ClientURLs {
		urls[hostOf(url)] = append(urls[hostOf(url)], url)
	}
	for i, member := range d.Members {
		host := hostOf(member.PeerURL)
		if members[host] == 1 && len(urls[host]) == 1 {
			d.Members[i].ClientURL = urls[host][0]
		}
	}
	return d
}

// hostOf is the host of a URL that urlHost has accepted, without its port.
func hostOf(url string) string {
	at, _ := urlHost(url)
	return at[:max(0, strings.LastIndexByte(at, ':'))]
}
