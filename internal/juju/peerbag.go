package juju

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// The keys of the peer bags. They are an upgrade interface: a key keeps its name and form for ever, and what does not
// fit gets a new key. A higher schema says that an older charm cannot make sense of the bag at all.
const (
	keySchema    = "schema"
	keyClusterID = "cluster-id" // hex
	keyEnded     = "ended"      // hex
	keyAuthority = "authority"
	keyRevoked   = "revoked" // "12@228,15@228": relation number @ period
	keyPeerURL   = "peer-url"
	keyClientURL = "client-url"
	keyMemberID  = "member-id" // hex
	keyRunning   = "running"
	keyLeaving   = "leaving" // "true"
	keyStopped   = "stopped" // "true"
	keyLeaves    = "leaves"  // "peer:1f@1796774400,…": see operator.EncodeIssued; in the application bag "etcd/0=peer:…;etcd/1=…"

	// Before Juju 3 the authorities stand in the application bag, key by key.
	authorityPrefix = "authority."
)

// consumerEndpoint is the endpoint whose relations are revoked by number.
const consumerEndpoint = "proxy"

// maxUnits bounds how many units the record knows certificates of.
const maxUnits = 10_000

// maxRevoked bounds the list, so that a broken bag costs no memory. A thousand consumers a year stay far below it.
const maxRevoked = 100_000

// EncodeRecord is the peer application bag that says r, but for the authorities' own keys.
func EncodeRecord(r operator.Record) databag.Bag {
	bag := databag.Bag{
		keySchema:    strconv.Itoa(operator.Schema),
		keyClusterID: encodeID(r.ClusterID),
		keyEnded:     encodeID(r.Ended),
		keyAuthority: r.Authority,
	}
	revoked := make([]string, 0, len(r.Revoked))
	for _, e := range r.Revoked {
		revoked = append(revoked, fmt.Sprintf("%s@%d", strings.TrimPrefix(e.RelationID, consumerEndpoint+":"), e.Period))
	}
	bag[keyRevoked] = strings.Join(revoked, ",")
	leaves := make([]string, 0, len(r.Leaves))
	for _, u := range r.Leaves {
		leaves = append(leaves, u.Unit+"="+operator.EncodeIssued(u.Leaves))
	}
	bag[keyLeaves] = strings.Join(leaves, ";")
	return bag.Clone()
}

// DecodeRecord reads a peer application bag. An empty bag is the zero Record. An error names relation, owner and key,
// never the value.
func DecodeRecord(relationID, owner string, bag databag.Bag) (operator.Record, error) {
	d := decoder{relationID: relationID, owner: owner, bag: bag}
	r := operator.Record{
		Schema:    d.schema(),
		ClusterID: d.id(keyClusterID),
		Ended:     d.id(keyEnded),
		Authority: d.text(keyAuthority),
		Revoked:   d.revoked(keyRevoked),
		Leaves:    d.unitLeaves(keyLeaves),
	}
	if d.err != nil {
		return operator.Record{}, d.err
	}
	return r, nil
}

// EncodeWord is the unit's peer bag that says w.
func EncodeWord(w operator.Word) databag.Bag {
	return databag.Bag{
		keySchema:    strconv.Itoa(operator.Schema),
		keyPeerURL:   w.PeerURL,
		keyClientURL: w.ClientURL,
		keyClusterID: encodeID(w.ClusterID),
		keyMemberID:  encodeID(w.MemberID),
		keyRunning:   w.Running,
		keyLeaving:   encodeFlag(w.Leaving),
		keyStopped:   encodeFlag(w.Stopped),
		keyLeaves:    operator.EncodeIssued(w.Leaves),
	}.Clone()
}

// wordKeys are all keys that EncodeWord may write: those not written are removed.
var wordKeys = []string{
	keySchema, keyPeerURL, keyClientURL, keyClusterID, keyMemberID, keyRunning, keyLeaving, keyStopped, keyLeaves,
}

// DecodeWord reads a unit's peer bag. An empty bag is the zero Word: the unit has said nothing. An error names relation,
// unit and key, never the value.
func DecodeWord(relationID, unit string, bag databag.Bag) (operator.Word, error) {
	d := decoder{relationID: relationID, owner: unit, bag: bag}
	w := operator.Word{
		Schema:    d.schema(),
		PeerURL:   d.text(keyPeerURL),
		ClientURL: d.text(keyClientURL),
		ClusterID: d.id(keyClusterID),
		MemberID:  d.id(keyMemberID),
		Running:   d.text(keyRunning),
		Leaving:   d.flag(keyLeaving),
		Stopped:   d.flag(keyStopped),
		Leaves:    d.leaves(keyLeaves, d.bag[keyLeaves]),
	}
	if d.err != nil {
		return operator.Word{}, d.err
	}
	return w, nil
}

// encodeAuthority is the bag's part that holds the authorities where Juju keeps no secrets.
func encodeAuthority(content map[string]string) databag.Bag {
	bag := make(databag.Bag, len(content))
	for key, value := range content {
		bag[authorityPrefix+key] = value
	}
	return bag
}

// decodeAuthority is the reverse of encodeAuthority; it is nil when the bag holds none.
func decodeAuthority(bag databag.Bag) map[string]string {
	var content map[string]string
	for key, value := range bag {
		name, ok := strings.CutPrefix(key, authorityPrefix)
		if !ok || value == "" {
			continue
		}
		if content == nil {
			content = map[string]string{}
		}
		content[name] = value
	}
	return content
}

func encodeID(id uint64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(id, 16)
}

func encodeFlag(on bool) string {
	if on {
		return "true"
	}
	return ""
}

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
	case schema > operator.Schema:
		d.fail(keySchema, fmt.Sprintf("is %d, newer than the %d that this charm knows", schema, operator.Schema))
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

func (d *decoder) revoked(key string) []operator.Ended {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return nil
	}
	parts := strings.Split(value, ",")
	if len(parts) > maxRevoked {
		d.fail(key, "has too many entries")
		return nil
	}
	out := make([]operator.Ended, 0, len(parts))
	for _, part := range parts {
		relation, period, _ := strings.Cut(part, "@")
		number, err := strconv.ParseUint(relation, 10, 31)
		if err != nil || strconv.FormatUint(number, 10) != relation {
			d.fail(key, "has an entry without a relation number")
			return nil
		}
		p, err := strconv.ParseInt(period, 10, 64)
		if err != nil || strconv.FormatInt(p, 10) != period {
			d.fail(key, "has an entry without a period")
			return nil
		}
		out = append(out, operator.Ended{RelationID: consumerEndpoint + ":" + relation, Period: p})
	}
	return slices.Clip(out)
}

// leaves reads a unit's certificates, of whichever bag.
func (d *decoder) leaves(key, text string) []operator.Issued {
	if d.err != nil {
		return nil
	}
	leaves, err := operator.DecodeIssued(text)
	if err != nil {
		d.fail(key, err.Error())
	}
	return leaves
}

func (d *decoder) unitLeaves(key string) []operator.UnitLeaves {
	value := d.bag[key]
	if d.err != nil || value == "" {
		return nil
	}
	parts := strings.Split(value, ";")
	if len(parts) > maxUnits {
		d.fail(key, "has too many units")
		return nil
	}
	out := make([]operator.UnitLeaves, 0, len(parts))
	for _, part := range parts {
		unit, text, _ := strings.Cut(part, "=")
		u := operator.UnitLeaves{Unit: unit, Leaves: d.leaves(key, text)}
		if appOf(unit) == unit || len(u.Leaves) == 0 || (len(out) > 0 && out[len(out)-1].Unit >= unit) {
			d.fail(key, "has an entry that is no unit's, or not in order")
			return nil
		}
		out = append(out, u)
	}
	return slices.Clip(out)
}
