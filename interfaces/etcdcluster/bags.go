// Package etcdcluster is the peer relation of the etcd charm: what the application as a whole
// knows, in the bag that the leader writes, and what each unit says about itself in its own bag.
//
// The rule it keeps: the bags are an upgrade interface. Units are refreshed one by one and charms
// are rolled back. So a key keeps its name and form, and what does not fit gets a new key. Every
// unit writes its bag whole, so that an older charm never claims what a newer one could do. The key
// can names what a unit's charm can do that all units must do alike. A higher schema means that an
// older charm cannot make sense of the bag at all.
package etcdcluster

import (
	"slices"
	"strconv"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// Schema is the version of what this charm writes into the peer bags. Bags of schema 1 were never
// released and are not read.
const Schema = 2

// The keys of the peer bags.
const (
	keySchema    = "schema"
	keyClusterID = "cluster-id" // hex
	keyEnded     = "ended"      // hex
	keyAuthority = "authority"
	// "proxy:12.1@228,db:15.2@228": relation ID . generation @ period; sorted as it came
	keyRevoked   = "revoked"
	keyPeerURL   = "peer-url"
	keyClientURL = "client-url"
	keyMemberID  = "member-id" // hex
	keyRunning   = "running"
	keyServer    = "server"  // "0123456789ab@<running>"
	keyLeaving   = "leaving" // "true"
	keyStopped   = "stopped" // "true"
	keyCan       = "can"     // "db,…", sorted
	keyQuota     = "quota"   // decimal
	keyZone      = "zone"
	keyOperation = "operation"      // in the application bag as JSON; in a unit's "ID STATE"
	keySaid      = "operation-said" // "ID STATE: words"
	keyLog       = "log"            // "TERM:INDEX:intact:REVISION"
	keyReplaced  = "replaced"       // "7f3a…,…": hex, as it came
	// "peer:1f@1796774400,…"; in the application bag "etcd/0=peer:…;etcd/1=…"
	keyLeaves = "leaves"

	// If Juju keeps no secrets, the authorities are in the application bag, key by key.
	authorityPrefix = "authority."
)

// unitKeys are all keys that a unit's bag may hold: those not written are removed.
var unitKeys = []string{
	keySchema, keyPeerURL, keyClientURL, keyClusterID, keyMemberID, keyRunning, keyServer,
	keyLeaving, keyStopped, keyCan, keyLeaves, keyQuota, keyZone, keyOperation, keySaid, keyLog,
}

// AppKeys returns all keys that EncodeApp may write.
func AppKeys() []string {
	return []string{
		keySchema, keyClusterID, keyEnded, keyAuthority, keyRevoked, keyLeaves, keyOperation, keyReplaced,
	}
}

// UnitKeys returns all keys that a unit's bag may hold.
func UnitKeys() []string { return slices.Clone(unitKeys) }

const (
	// maxUnits bounds how many units the application bag knows certificates of.
	maxUnits = 10_000
	// maxRevoked bounds the list, so that a broken bag costs no memory.
	maxRevoked = 100_000
	// MaxRevoked is how many entries are written, of at most 34 bytes each, because readers accept
	// no longer text. A thousand consumers a year stay far below it.
	MaxRevoked = 30_000
)

// AppBag is the peer application bag: what the application as a whole knows. The leader writes it.
type AppBag struct {
	Schema    int    // 0: nothing was ever written
	ClusterID uint64 // the cluster founded; 0 is none yet
	Ended     uint64 // the cluster whose last member stopped in order, or that was given up; 0 is none
	Authority string // fingerprint of the authorities, so that peers hear of a change
	Revoked   []Ended
	// Leaves are the certificates of all units that may still be valid, also those of units that
	// left; sorted by unit.
	Leaves []UnitLeaves
	// Operation is the one that goes on, or the last one; the zero value is none.
	Operation Operation
	// Replaced are the clusters whose data was replaced by an operation, in the order in which that
	// happened: their data is never served again.
	Replaced []uint64
}

// Ended is a consumer relation that ended, the generation of its credentials, and the certificate
// period in which it ended.
type Ended struct {
	RelationID string // "proxy:12"
	Generation int    // from 1
	Period     int64
}

// String is an ended relation as it is in the bag.
func (e Ended) String() string {
	return e.RelationID + "." + strconv.Itoa(e.Generation) + "@" + strconv.FormatInt(e.Period, 10)
}

// UnitBag is what a unit says about itself.
type UnitBag struct {
	Schema    int // 0: it has said nothing
	PeerURL   string
	ClientURL string
	ClusterID uint64 // the cluster its data belongs to; 0 is none
	MemberID  uint64
	// digest of what all members share of the settings that its server runs; "" is none, or one that
	// needs a restart
	Running string
	// ID of the server that runs, which tells builds apart (internal/stamp); "" is not known
	Server  string
	Leaving bool
	Stopped bool     // its server has stopped for good
	Can     []string // what its charm can do that all units must do alike; sorted
	// Quota is how large its database may get, in bytes, by the options that the unit applies; 0
	// means that it does not say.
	Quota  int64
	Leaves []Issued
	Zone   string // the availability zone of its machine; "" is unknown
	Part   Part   // in the operation; it counts only if the unit's charm can take part
	// Log is that of its data while the unit knows of no quorum; it counts only if Can lists
	// recover.
	Log LogState
}

// EncodeApp is the bag for a, without the keys of the authorities.
func EncodeApp(a AppBag) databag.Bag {
	bag := databag.Bag{
		keySchema:    strconv.Itoa(Schema),
		keyClusterID: encodeID(a.ClusterID),
		keyEnded:     encodeID(a.Ended),
		keyAuthority: a.Authority,
	}
	revoked := make([]string, 0, len(a.Revoked))
	for _, e := range a.Revoked {
		revoked = append(revoked, e.String())
	}
	bag[keyRevoked] = strings.Join(revoked, ",")
	leaves := make([]string, 0, len(a.Leaves))
	for _, u := range a.Leaves {
		leaves = append(leaves, u.Unit+"="+EncodeIssued(u.Leaves))
	}
	bag[keyLeaves] = strings.Join(leaves, ";")
	bag[keyOperation] = encodeOperation(a.Operation)
	bag[keyReplaced] = encodeIDs(a.Replaced)
	return bag.Clone()
}

// DecodeApp reads a peer application bag. An empty bag is the zero AppBag. An error names relation,
// owner and key, never the value.
func DecodeApp(relationID, owner string, bag databag.Bag) (AppBag, error) {
	d := decoder{relationID: relationID, owner: owner, bag: bag}
	a := AppBag{
		Schema:    d.schema(),
		ClusterID: d.id(keyClusterID),
		Ended:     d.id(keyEnded),
		Authority: d.text(keyAuthority),
		Revoked:   d.revoked(keyRevoked),
		Leaves:    d.unitLeaves(keyLeaves),
		Operation: d.operation(keyOperation),
		Replaced:  d.ids(keyReplaced),
	}
	if d.err != nil {
		return AppBag{}, d.err
	}
	return a, nil
}

// EncodeUnit is the bag for u.
func EncodeUnit(u UnitBag) databag.Bag {
	return databag.Bag{
		keySchema:    strconv.Itoa(Schema),
		keyPeerURL:   u.PeerURL,
		keyClientURL: u.ClientURL,
		keyClusterID: encodeID(u.ClusterID),
		keyMemberID:  encodeID(u.MemberID),
		keyRunning:   u.Running,
		keyServer:    encodeServer(u),
		keyLeaving:   encodeFlag(u.Leaving),
		keyStopped:   encodeFlag(u.Stopped),
		keyCan:       strings.Join(u.Can, ","),
		keyLeaves:    EncodeIssued(u.Leaves),
		keyQuota:     encodeBytes(u.Quota),
		keyZone:      u.Zone,
		keyOperation: u.Part.String(),
		keySaid:      encodeSaid(u.Part),
		keyLog:       u.Log.String(),
	}.Clone()
}

// DecodeUnit reads a unit's peer bag. An empty bag is the zero UnitBag: the unit has said nothing.
// An error names relation, unit and key, never the value.
func DecodeUnit(relationID, unit string, bag databag.Bag) (UnitBag, error) {
	d := decoder{relationID: relationID, owner: unit, bag: bag}
	u := UnitBag{
		Schema:    d.schema(),
		PeerURL:   d.text(keyPeerURL),
		ClientURL: d.text(keyClientURL),
		ClusterID: d.id(keyClusterID),
		MemberID:  d.id(keyMemberID),
		Running:   d.text(keyRunning),
		Server:    d.server(),
		Leaving:   d.flag(keyLeaving),
		Stopped:   d.flag(keyStopped),
		Can:       d.names(keyCan),
		Leaves:    d.leaves(keyLeaves, bag[keyLeaves]),
		Quota:     d.bytes(keyQuota),
		Zone:      d.text(keyZone),
		Part:      d.part(keyOperation, keySaid),
		Log:       d.log(keyLog),
	}
	if d.err != nil {
		return UnitBag{}, d.err
	}
	return u, nil
}

// EncodeAuthority is the part of the application bag that holds the authorities if Juju keeps no
// secrets.
func EncodeAuthority(content map[string]string) databag.Bag {
	bag := make(databag.Bag, len(content))
	for key, value := range content {
		bag[authorityPrefix+key] = value
	}
	return bag
}

// DecodeAuthority is the reverse of EncodeAuthority; it is nil when the bag holds none.
func DecodeAuthority(bag databag.Bag) map[string]string {
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

// encodeServer writes which server runs, together with the generation in the key running. A charm
// that does not know this key leaves it as it is but writes running again. If the two then differ,
// the old server does not count.
func encodeServer(u UnitBag) string {
	if u.Server == "" {
		return ""
	}
	return u.Server + "@" + u.Running
}

func encodeID(id uint64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(id, 16)
}

func encodeBytes(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func encodeFlag(on bool) string {
	if on {
		return "true"
	}
	return ""
}
