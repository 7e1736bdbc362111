package operator

import "cmp"

// remedyFor says what to do about a reason, where there is room for it. What is to be done about
// the worst comes first: of a reason that is less bad only the remedy is shown. A silent member,
// for instance, must not be replaced while there is no quorum.
func (r Report) remedyFor(reason Reason) string {
	if reason.Health() != r.Health {
		return reason.Remedy()
	}
	return cmp.Or(reason.Remedy(), advice[reason.Kind])
}

// advice says what to do about reasons whose remedy would leave no room in the status line for what
// is worth more there, or is nothing but a place to look. Health, a diagnosis and the page of
// reasons have it.
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
	noLeader:       "see the members that do not answer, and the network between all",

	memberSilent:         "see to its machine and the network to it; gone for good: replace it",
	memberNotReady:       "the journal of its service says why",
	memberLearner:        "it votes once it has caught up",
	memberLagging:        "see its disk, and the network to it",
	memberErrors:         "the journal of its service says more",
	memberWithoutUnit:    "the leader's next hook takes it out, or says why not",
	unitWithoutMember:    "its own status says what it waits for",
	leadersDiffer:        "see the network between them",
	alarmRaised:          "see actions alarm-list and alarm-disarm",
	databaseNearlyFull:   "delete keys, then compact and defrag; or raise quota_backend_bytes",
	certificateBroken:    "hooks renew it; if they do not, debug-log says why",
	certificatesDue:      "hooks renew them; if they do not, debug-log says why",
	memberCertificateDue: "its hooks renew it; if they do not, debug-log says why",
	versionsDiffer:       "see which unit has not taken the charm",

	upstreamSilent:       "see the members' machines, and the network to their client port",
	upstreamUnknown:      "see the status of the cluster",
	upstreamMemberSilent: "see its machine, and the network to its client port",
	upstreamMisled:       "the provider has to give out its members' own addresses",

	turnUnknown: "the next hook asks again",
}
