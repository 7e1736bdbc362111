package operator

import "cmp"

// remedyFor says what to do about a reason, where there is room for it. Only a reason as bad as the
// verdict gets advice: a silent member, for instance, must not be replaced while there is no
// quorum.
func (r Report) remedyFor(reason Reason) string {
	if reason.Health() != r.Health {
		return reason.Remedy()
	}
	return cmp.Or(reason.Remedy(), advice[reason.Kind])
}

// advice says what to do about reasons that have no remedy in the status line, where other things
// are worth the room. Health, a diagnosis and the page of reasons show it.
var advice = map[Kind]string{
	operationHalts: "action operation shows how far it is",

	etcdFailing:    "the journal of its service says more",
	etcdStopped:    "the next hook starts it",
	proxyFailing:   "the journal of its service says more",
	proxyStopped:   "the next hook starts it",
	stepFailed:     "the next hook tries again; debug-log says more",
	clusterUnknown: "bring the machines back",
	clusterAbsent:  "the leader's next hook founds it, or its status says what it waits for",
	membersNone:    "the journal of etcd says more",
	noLeader:       "check the members that do not answer, and the network between all",

	memberSilent:         "check its machine and the network; if it is gone for good, replace it",
	memberNotReady:       "the journal of its service says why",
	memberLearner:        "it votes once it has caught up",
	memberLagging:        "check its disk, and the network to it",
	memberErrors:         "the journal of its service says more",
	memberWithoutUnit:    "the leader's next hook removes it, or says why not",
	unitWithoutMember:    "its own status says what it waits for",
	leadersDiffer:        "check the network between them",
	alarmRaised:          "use actions alarm-list and alarm-disarm",
	databaseNearlyFull:   "delete keys, then compact and defrag; or raise quota_backend_bytes",
	certificateBroken:    "hooks renew it; if they do not, debug-log says why",
	certificatesDue:      "hooks renew them; if they do not, debug-log says why",
	memberCertificateDue: "its hooks renew it; if they do not, debug-log says why",
	versionsDiffer:       "check which unit does not have the charm yet",

	upstreamSilent:       "check the members' machines, and the network to their client port",
	upstreamUnknown:      "check the status of the cluster",
	upstreamMemberSilent: "check its machine, and the network to its client port",
	upstreamMisled:       "the provider has to publish its members' own addresses",

	turnUnknown: "the next hook asks again",
}
