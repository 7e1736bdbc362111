package operator

import (
	"reflect"
	"slices"

	addresses "github.com/juju-charms/etcd-charm/interfaces/address"
)

// Hold is why our server must not start with the data that is here. The zero value is that it may
// start. Of two holds the greater one counts.
type Hold int

// What holds a server. A hook knows more than the gate and may start the server again: a peer that
// is behind may not list a member that has just joined.
const (
	NotHeld       Hold = iota
	HeldUnnamed        // its gate held it, and the log no longer says why
	HeldUntrusted      // a peer shows a certificate that is not trusted here
	HeldRefused        // a peer refuses our certificate
	HeldUnlisted       // a peer does not list our member
	HeldElsewhere      // a peer is of another cluster
	HeldReplaced       // the cluster of our data was replaced
)

// holds are the exit codes of the gate, and what it writes to the service's log. None of them is an
// exit code that systemd sets, or that a program that fails returns.
var holds = map[Hold]struct {
	code int
	says string
	kind Kind
}{
	HeldUnnamed:   {0, "it is kept down", etcdHeld},
	HeldUntrusted: {81, "the certificate of a peer is not trusted here", etcdHeldUntrusted},
	HeldRefused:   {82, "a peer refuses our certificate", etcdHeldRefused},
	HeldUnlisted:  {83, "the cluster does not list our member any more", etcdHeldUnlisted},
	HeldElsewhere: {84, "a peer belongs to another cluster", etcdHeldElsewhere},
	HeldReplaced:  {85, "the cluster of our data was replaced", etcdHeldReplaced},
}

// String says in words what holds the server.
func (h Hold) String() string { return holds[h].says }

// Code is the gate's exit code; 0 is that the server may start.
func (h Hold) Code() int { return holds[h].code }

// HoldOf is the hold that an exit code of the gate stands for.
func HoldOf(code int) Hold {
	for hold, is := range holds {
		if is.code == code && code != 0 {
			return hold
		}
	}
	return HeldUnnamed
}

// PeerReply is how a peer answers when asked for its members on its peer port.
type PeerReply int

// PeerSilent is the zero value. It is the normal reply after a power cut: the first server to start
// hears nothing else.
const (
	// Nothing listens, nothing came in time, or the answer is not that of a member.
	PeerSilent    PeerReply = iota
	PeerAnswers             // the rest of the answer is valid
	PeerRefuses             // it closes the connection because of our certificate
	PeerUntrusted           // its own is not trusted here
)

// PeerAnswer is what a peer says.
type PeerAnswer struct {
	URL       string
	Reply     PeerReply
	ClusterID uint64
	Members   []uint64 // as in the peer's own copy of the member list
}

// PeerSays is what a peer's answer means to a member, and to the cluster that the member is of.
// The gate, hooks and action found-cluster all go by it.
type PeerSays int

// Only the last two are of the member's cluster. A peer that refuses us or is not trusted says
// nothing about its cluster.
const (
	SaysNothing   PeerSays = iota
	SaysUntrusted          // its certificate is not trusted here
	SaysRefused            // it refuses our certificate
	SaysElsewhere          // it is of another cluster
	SaysUnlisted           // it is of the cluster, and does not list the member
	SaysListed             // it is of the cluster, and lists the member
)

// answerHolds is the hold that an answer calls for; the others call for none.
var answerHolds = map[PeerSays]Hold{
	SaysUntrusted: HeldUntrusted, SaysRefused: HeldRefused,
	SaysElsewhere: HeldElsewhere, SaysUnlisted: HeldUnlisted,
}

// Alive reports whether the peer is of the cluster, which then is not lost.
func (s PeerSays) Alive() bool { return s == SaysUnlisted || s == SaysListed }

// Says is what the answer means to a member of a cluster.
func (a PeerAnswer) Says(clusterID, memberID uint64) PeerSays {
	switch {
	case a.Reply == PeerRefuses:
		return SaysRefused
	case a.Reply == PeerUntrusted:
		return SaysUntrusted
	case a.Reply != PeerAnswers:
		return SaysNothing
	}
	return saysOf(a.ClusterID == clusterID, slices.Contains(a.Members, memberID))
}

func saysOf(ofIt, listed bool) PeerSays {
	switch {
	case !ofIt:
		return SaysElsewhere
	case !listed:
		return SaysUnlisted
	}
	return SaysListed
}

// Asks are the peer URLs to ask before a start with that data. There are none if the fence was
// written for other data, or if the data was replaced.
func (f Fence) Asks(d Data) []string {
	if d.State != OurData || f.ClusterID != d.ClusterID || f.MemberID != d.MemberID || f.replaces(d) {
		return nil
	}
	return f.Peers
}

// Hold judges a start with that data by the peers' answers, and names the peer whose answer counts.
// The worst answer decides. Without data of ours there is nothing to judge.
func (f Fence) Hold(d Data, answers []PeerAnswer) (worst Hold, url string) {
	if f.replaces(d) {
		return HeldReplaced, ""
	}
	for _, a := range answers {
		if hold := a.hold(d); hold > worst {
			worst, url = hold, a.URL
		}
	}
	return worst, url
}

func (f Fence) replaces(d Data) bool {
	return d.State == OurData && slices.Contains(f.Replaced, d.ClusterID)
}

// hold is the hold that one answer calls for.
func (a PeerAnswer) hold(d Data) Hold {
	if d.State != OurData {
		return NotHeld
	}
	return answerHolds[a.Says(d.ClusterID, d.MemberID)]
}

// barred judges our data by what a cluster says: is it the cluster of the data, and does it list
// our member?
func (d Data) barred(clusterID uint64, listed bool) Hold {
	if d.State != OurData {
		return NotHeld
	}
	return answerHolds[saysOf(clusterID == d.ClusterID, listed)]
}

// barred judges our data as the gate does, but by what this hook knows: the record, and a quorum of
// the cluster.
func (v view) barred() Hold {
	_, listed := v.self()
	switch named, d := v.named(), v.w.Data; {
	case Fence{Replaced: v.m.Cluster.Value.AppBag.Replaced}.replaces(d):
		return HeldReplaced
	case named != 0 && named != d.ClusterID:
		return d.barred(named, false)
	case v.inCluster():
		return d.barred(v.w.ClusterID, listed)
	}
	return NotHeld
}

// fence keeps the file true that the gate reads. It names the other members of the last list that a
// quorum of our data's own cluster gave.
func fence(v view, p *Plan) {
	if v.role() != RoleMember || v.leaving() {
		return
	}
	if want := v.fence(); !reflect.DeepEqual(want, v.w.Fence) {
		p.want(v, WriteFence{want})
	}
}

func (v view) fence() Fence {
	f := v.w.Fence
	if v.m.Cluster.OK {
		f.Replaced = v.m.Cluster.Value.AppBag.Replaced
	}
	switch {
	case v.w.Data.State == OurData && v.ownAnswers():
		f.ClusterID, f.MemberID, f.Peers = v.w.Data.ClusterID, v.w.Data.MemberID, v.peerURLs()
	case v.w.Service.Held != NotHeld && v.m.Cluster.OK && v.m.Units.OK:
		f.Peers = v.urlsOfLivingUnits(f.Peers)
	}
	return f
}

// urlsOfLivingUnits are those of the peer URLs that a living unit's bag names. Once a machine is
// gone, any other process may listen at its address; and without a quorum nobody can take it off
// the list.
func (v view) urlsOfLivingUnits(urls []string) (out []string) {
	for unit := range v.m.Units.Value {
		if url := v.m.Cluster.Value.UnitBags[unit].PeerURL; unit != v.m.Unit &&
			slices.Contains(urls, url) {
			out = append(out, url)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// peerURLs is where the member list has the other members, sorted.
func (v view) peerURLs() (urls []string) {
	judge := v.m.judge(nil)
	for _, mem := range v.w.Members {
		for _, url := range mem.PeerURLs {
			if mem.ID != v.w.Data.MemberID && judge.URL(url) == addresses.Fit {
				urls = append(urls, url)
			}
		}
	}
	slices.Sort(urls)
	return slices.Compact(urls)
}

// held is the reason for a server that its gate keeps down; none means that the gate does not.
func (v view) held() Reason {
	s := v.w.Service
	if s.Held == NotHeld || s.Running || s.Kind != MemberService {
		return Reason{}
	}
	kind := holds[s.Held].kind
	switch kind {
	case etcdHeldReplaced:
		return because(kind, v.m.Unit, hexID(v.w.Data.ClusterID))
	case etcdHeld:
		return because(kind, v.m.Unit, serviceName(v.m.Unit))
	}
	return because(kind, v.m.Unit)
}
