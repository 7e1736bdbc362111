package etcdcluster

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// decoder reads keys one after another and keeps the first error.
type decoder struct {
	relationID, owner string
	bag               databag.Bag
	err               error
}

func (d *decoder) fail(key, problem string) {
	if d.err == nil {
		d.err = fmt.Errorf("relation %s: bag of %s: %s %s", d.relationID, d.owner, key, problem)
	}
}

// Errors of a bag that another charm wrote: no later hook can read it either.
var (
	ErrOldSchema = errors.New("is of a charm that was never released")
	ErrNewSchema = errors.New("is newer than this charm's")
)

// foreign fails for a schema that is not ours.
func (d *decoder) foreign(schema int, why error) {
	d.err = fmt.Errorf("relation %s: bag of %s: schema %d %w", d.relationID, d.owner, schema, why)
}

// schema is 0 for an empty bag. It is read first: a newer bag's other keys may mean anything.
func (d *decoder) schema() int {
	if err := databag.Check(d.relationID, d.owner, d.bag); err != nil {
		d.err = err
		return 0
	}
	text := d.bag[keySchema]
	if text == "" {
		return 0
	}
	schema, err := strconv.Atoi(text)
	switch {
	case err != nil || schema < 1:
		d.fail(keySchema, "is not a version")
	case schema < Schema:
		d.foreign(schema, ErrOldSchema)
	case schema > Schema:
		d.foreign(schema, ErrNewSchema)
	}
	return schema
}

func (d *decoder) text(key string) string {
	if d.err != nil {
		return ""
	}
	value := d.bag[key]
	for _, r := range value {
		if r < ' ' || r == 0x7f {
			d.fail(key, "has a control character")
			return ""
		}
	}
	return value
}

// server reads which server runs. It is only shown, so a value that cannot be read counts as
// unknown.
func (d *decoder) server() string {
	id, running, _ := strings.Cut(d.bag[keyServer], "@")
	if running != d.bag[keyRunning] || strings.Trim(id, "0123456789abcdef") != "" {
		return "" // another charm has written the key running since
	}
	return id
}

func (d *decoder) id(key string) uint64 {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return 0
	}
	id, err := strconv.ParseUint(value, 16, 64)
	if err != nil || id == 0 {
		d.fail(key, "is not a hexadecimal number of 64 bits")
		return 0
	}
	return id
}

func (d *decoder) bytes(key string) int64 {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return 0
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != value {
		d.fail(key, "is not a number of bytes")
		return 0
	}
	return n
}

func (d *decoder) flag(key string) bool {
	switch d.bag[key] {
	case "":
		return false
	case "true":
		return true
	}
	d.fail(key, `is neither "true" nor absent`)
	return false
}

func (d *decoder) revoked(key string) []Ended {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return nil
	}
	parts := strings.Split(value, ",")
	if len(parts) > maxRevoked {
		d.fail(key, "has too many entries")
		return nil
	}
	out := make([]Ended, 0, len(parts))
	for _, part := range parts {
		of, period, _ := strings.Cut(part, "@")
		relation, generation, _ := strings.Cut(of, ".")
		if !relationID(relation) {
			d.fail(key, "has an entry without a relation ID")
			return nil
		}
		g, err := strconv.ParseInt(generation, 10, 32)
		if err != nil || g < 1 || strconv.FormatInt(g, 10) != generation {
			d.fail(key, "has an entry without a generation")
			return nil
		}
		p, err := strconv.ParseInt(period, 10, 64)
		if err != nil || strconv.FormatInt(p, 10) != period {
			d.fail(key, "has an entry without a period")
			return nil
		}
		out = append(out, Ended{RelationID: relation, Generation: int(g), Period: p})
	}
	return slices.Clip(out)
}

// relationID reports whether the text is a relation's ID in Juju's form: an endpoint, a colon, a
// number.
func relationID(text string) bool {
	endpoint, number, _ := strings.Cut(text, ":")
	n, err := strconv.ParseUint(number, 10, 31)
	return err == nil && strconv.FormatUint(n, 10) == number && name(endpoint)
}

// name reports whether the text is one of lower-case letters, digits and hyphens.
func name(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// names reads a list of names, sorted, each once.
func (d *decoder) names(key string) []string {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return nil
	}
	names := strings.Split(value, ",")
	for i, n := range names {
		if !name(n) || (i > 0 && names[i-1] >= n) {
			d.fail(key, "is not a sorted list of names")
			return nil
		}
	}
	return names
}

// leaves reads a unit's certificates, from either bag.
func (d *decoder) leaves(key, text string) []Issued {
	if d.err != nil {
		return nil
	}
	leaves, err := DecodeIssued(text)
	if err != nil {
		d.fail(key, err.Error())
	}
	return leaves
}

func (d *decoder) unitLeaves(key string) []UnitLeaves {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return nil
	}
	parts := strings.Split(value, ";")
	if len(parts) > maxUnits {
		d.fail(key, "has too many units")
		return nil
	}
	out := make([]UnitLeaves, 0, len(parts))
	for _, part := range parts {
		unit, text, _ := strings.Cut(part, "=")
		u := UnitLeaves{Unit: unit, Leaves: d.leaves(key, text)}
		if !strings.Contains(unit, "/") || len(u.Leaves) == 0 ||
			(len(out) > 0 && out[len(out)-1].Unit >= unit) {
			d.fail(key, "has an entry that is not a unit's, or out of order")
			return nil
		}
		out = append(out, u)
	}
	return slices.Clip(out)
}
