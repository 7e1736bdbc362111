package operator

// Kind is a kind of reason. All kinds are in this file.
type Kind int

// In the order in which reasons of the same level are shown.
const (
	none Kind = iota

	// What keeps the charm from running at all.
	noElection
	jujuTooOld

	// The cluster.
	clusterLost
	lostAwaitsLeadership
	clusterOutlives
	clusterUnclaimed
	clusterDiffers
	alarmNospace
	quotaAwaits
	quotaRaised
	spaceLiveData
	spaceKeptHistory
	spaceTooLarge
	spaceAwaits
	spaceFreed
	corruptRepaired
	alarmCorrupt
	corruptDisputed
	corruptAwaitsQuorum
	alarmCorruptUnowned
	corruptUnnamed
	corruptSplit
	corruptFound
	authoritiesEnded
	authEnabled
	upstreamMissing

	// What only an operator can fix.
	diskMute
	pathClosed
	pathAstray
	optionsUnread
	optionInvalid
	roleFixed
	portForbidden
	portTaken
	groupUnknown
	quotaTooLow
	dataAlien
	dataForeign
	dataUnfitAlone
	dataUnfitAgain
	dataUnfit
	diskRefused
	learnerStuck
	dataDiffers
	dataUnreadable
	dataForbidden
	dataDiskFull
	dataLocked
	dataOfAnother
	dataOfOthers
	dataGivenUp
	joinRefused
	upgradeTooFar
	downgrade
	foreignSettings
	peersTooOld
	peersTooNew
	upstreamBroken

	// A unit that leaves.
	leaveCostsQuorum
	leaveWhileCorrupt
	leaveAwaitsVoter
	leaveAwaitsRecord
	leaveUnreached
	leaveAwaitsLeadership
	leaveUnserved
	leaving

	// On the way to a member.
	authoritiesMade
	authoritiesAwaited
	foundAwaitsLeader
	joinAwaitsRecord
	joinAwaitsMember
	joinAwaitsRemoval
	joinAwaitsOperation
	joinAwaitsLearner
	joinAwaitsVersion
	joinAwaitsAlarm
	rejoinAwaitsQuorum
	clustersUnsettled
	upstreamAwaited

	// What serves, and what does not.
	operationHalts
	etcdFailing
	proxyFailing
	proxyStopped
	noQuorum
	noQuorumAlone
	clusterSilent
	membersNone
	noLeader
	upstreamSilent
	upstreamNoQuorum
	upstreamAlarm
	upstreamUnknown
	nothingThrough

	// Unknown things that work waits for. A later one is often unknown because an earlier one is.
	unitsUnknown
	leaderUnknown
	peersUnknown
	authoritiesUnknown
	consumersUnknown
	upstreamUnread
	peerAddressUnknown
	clientAddressUnknown
	turnUnknown

	// This unit.
	etcdHeldReplaced
	etcdHeldElsewhere
	etcdHeldUnlisted
	etcdHeldRefused
	etcdHeldUntrusted
	etcdHeld
	etcdStopped
	etcdAstray
	stepFailed
	clusterUnknown
	clusterAbsent
	restartAwaitsLearner
	restartAwaitsVoter
	restartAwaitsListing
	restartAwaitsSelf
	restartAwaitsOthers
	restartAwaitsQuota
	restartAwaitsAll
	restartAwaitsSnapshot
	removalAwaitsQuorum

	// Members and units.
	memberSilent
	memberNotReady
	memberLearner
	alarmRaised
	turnUnleased
	turnUnowned
	consumerAwaitsCharm
	consumerBagFails
	databaseNearlyFull
	memberLagging
	leadersDiffer
	certificateBroken
	certificatesDue
	clientCertificateDue
	memberCertificateDue
	authoritiesDue
	authoritiesAging
	memberErrors
	memberWithoutUnit
	unitWithoutMember
	upstreamMemberSilent
	revokedMany
	memoryExhausted
	upstreamMisled
	crashed
	dataReplaced
	zoneShared
	snapshotFailed
	snapshotOld
	snapshotNone
	versionsDiffer
	zoneAlone
	pathForeign
	turnHeld
	workRuns
	snapshotsOff
	snapshotMissed
	asideKept
	diskRemote
	diskMemory
	diskLayered
	diskCopying
	diskFlushless
	diskFailing
	diskSlow
	diskRotates
	diskRoom
	diskInodes
	operationAwaits
	operationGoes
	operationPrepares
	operationStops
	operationServes
	operationLater

	// Why an action does nothing.
	isProxy
	noSuchUnit
	lastVoter
	quorumAtStake
	voterNotReady
	noVoter
	notLostHere
	notLostUnrecorded
	notLostEnded
	notLostOthers
	notLostData
	notLostAnswers
	confirmDiffers
	foundOnLeader
	revisionAhead
	alarmSplit
	alarmUntrusted
	alarmFull
	turnTaken
	corruptStays
	alarmOnLeader
	operationOnLeader
	operationRuns
	operationNone
	operationOther
	operationEmpty
	operationAwaitsCharm
	operationBegun
	operationPassed
	operationSource
	unitAnswers
	replacedDiffers
	clusterStays
	snapshotMissing
	snapshotUnfit
	snapshotElsewhere
	sourceElsewhere
	sourceLeaves
	dataMissing
	quorumAnswers
	logUnread
	survivorMissing
	snapshotAwaitsVoter
	snapshotRuns
	workFailed
	snapshotUnknown
	snapshotNewest
	keptUnknown
	kinds // how many there are
)

// work is the subject of what work waits for: the health report names the work.
const work = "work"

var catalogue = [kinds]entry{
	// The words of the first are those that operators of charms know.
	noElection: {"no-election", "Juju", Unhealthy, Blocked, "", "Requires Leader Election - juju >= 1.23.2", ""},
	jujuTooOld: {"juju-too-old", "version", Unhealthy, Blocked, "", "this charm needs Juju 2.9 or later, this is {version}", ""},

	clusterLost:          {"cluster-lost", "cluster", Unhealthy, Blocked, "", "the cluster is lost", "run action found-cluster confirm=id-{cluster}"},
	lostAwaitsLeadership: {"lost-awaits-leadership", "cluster", Unhealthy, Blocked, "", "cluster {cluster} is lost", "once this unit leads, it can found another"},
	clusterOutlives:      {"cluster-outlives", "cluster", Unhealthy, Blocked, "", "cluster {cluster} still answers at {address}", "copy its data, stop it"},
	clusterUnclaimed:     {"cluster-unclaimed", "cluster", Unhealthy, Blocked, "", "no known unit holds cluster {cluster}", "if it is lost: keep one unit only"},
	clusterDiffers:       {"cluster-differs", "cluster", Unhealthy, Blocked, "", "cluster {cluster} answers, {recorded} is recorded", "run list-members"},
	alarmNospace:         {"alarm-nospace", "member", Unhealthy, Blocked, "", "NOSPACE on {member}: no writes", "raise quota_backend_bytes or free space"},
	quotaAwaits:          {"quota-awaits", "member", Unhealthy, Blocked, "", "NOSPACE on {member}: no writes", "quota {room} waits: {unit} {state}"},
	quotaRaised:          {"quota-raised", "member", Unhealthy, Waiting, "", "NOSPACE on {member}: no writes", "{unit} restarts with a quota of {room}"},
	spaceLiveData:        {"space-live-data", "member", Unhealthy, Blocked, "", "NOSPACE on {member}: no writes", "{used} of {room} live: raise quota or delete"},
	spaceKeptHistory:     {"space-kept-history", "member", Unhealthy, Blocked, "", "NOSPACE on {member}: no writes", "{used} of {room} kept: compact or raise quota"},
	spaceTooLarge:        {"space-too-large", "member", Unhealthy, Blocked, "", "NOSPACE on {member}: no writes", "too large for a hook: run compact and defrag"},
	spaceAwaits:          {"space-awaits", "member", Unhealthy, Blocked, "", "NOSPACE on {member}: no writes", "freeing waits: {unit} {state}"},
	spaceFreed:           {"space-freed", "member", Unhealthy, Waiting, "", "NOSPACE on {member}: no writes", "space is being freed"},
	corruptRepaired:      {"corrupt-repaired", "unit", Unhealthy, Waiting, "", "CORRUPT: data of {unit} differs", "it joins again if the others agree"},
	corruptDisputed:      {"corrupt-disputed", "unit", Unhealthy, Blocked, "", "CORRUPT: data of {unit} differs", "no majority agrees: run action alarm-disarm"},
	corruptAwaitsQuorum:  {"corrupt-awaits-quorum", "unit", Unhealthy, Blocked, "", "CORRUPT: data of {unit} differs", "bring the others back"},
	alarmCorrupt:         {"alarm-corrupt", "unit", Unhealthy, Blocked, "", "CORRUPT: data of {unit} differs", "juju remove-unit {unit}, then alarm-disarm"},
	alarmCorruptUnowned:  {"alarm-corrupt-unowned", "member", Unhealthy, Blocked, "", "CORRUPT: data of {member} differs", "run action alarm-disarm"},
	corruptUnnamed:       {"corrupt-unnamed", "cluster", Unhealthy, Waiting, "", "CORRUPT: members' data differs", "if most agree, etcd soon names the others"},
	corruptFound:         {"corrupt-found", "unit", Unhealthy, Blocked, "", "CORRUPT: data of {unit} differs", "juju remove-unit {unit}"},
	corruptSplit:         {"corrupt-split", "cluster", Unhealthy, Blocked, "", "CORRUPT: members' data differs", "no majority agrees: run action alarm-disarm"},
	authoritiesEnded:     {"authorities-ended", "application", Unhealthy, Blocked, "", "certificate authorities expired on {when}", "move to another application"},
	authEnabled:          {"auth-enabled", "cluster", Degraded, Blocked, "", "auth is on: clients without a user are refused", "as root: etcdctl auth disable"},
	upstreamMissing:      {"upstream-missing", "application", Unhealthy, Blocked, "", "needs a cluster", "juju integrate {application}:upstream <etcd application>:proxy"},

	optionsUnread:   {"options-unread", "unit", Degraded, Blocked, "", "{problem}", "the next hook asks again"},
	optionInvalid:   {"option-invalid", "option", Degraded, Blocked, "", "option {option}: {problem}", ""},
	roleFixed:       {"role-fixed", "unit", Degraded, Blocked, "", "option role: a {role} cannot become a {wanted}", "set role={role} or deploy another"},
	portForbidden:   {"port-forbidden", "option", Degraded, Blocked, "", "option {option}: {port} may not be bound here", "set {lowest} or above"},
	portTaken:       {"port-taken", "option", Degraded, Blocked, "", "option {option}: {address} is taken", "juju config {application} {option}=…"},
	groupUnknown:    {"group-unknown", "group", Degraded, Blocked, "", "option socket_group: no group {group} here", "groupadd --system {group}"},
	quotaTooLow:     {"quota-too-low", "member", Degraded, Blocked, "", "quota_backend_bytes {quota} is too low: {member} has {size}", "raise it, or first run compact and defrag"},
	dataAlien:       {"data-alien", "unit", Degraded, Blocked, "", "data directory: {problem}", "move it away, then: juju resolved {unit}"},
	dataForeign:     {"data-foreign", "unit", Degraded, Blocked, "", "data here belongs to {owner}", "put this unit's disk back, or move the data away"},
	dataUnfitAlone:  {"data-unfit-alone", "unit", Unhealthy, Blocked, "", "data here is {flaw}, none has better", "put a newer copy back, or see how-to/replace-a-dead-machine"},
	dataUnfitAgain:  {"data-unfit-again", "unit", Degraded, Blocked, "", "data here is {flaw}, twice in a day", "check its disk; juju remove-unit {unit}, then add one"},
	dataUnfit:       {"data-unfit", "unit", Degraded, Blocked, "", "data here is {flaw}", "bring the other members back; or juju remove-unit {unit}, then add one"},
	diskRefused:     {"disk-refused", "unit", Degraded, Blocked, "", "data would be on {filesystem}, a network file system", "mount a local disk there"},
	learnerStuck:    {"learner-stuck", "unit", Degraded, Blocked, "", "cannot catch up after 3 tries", "check network; journalctl -u {service}"},
	dataUnreadable:  {"data-unreadable", "unit", Degraded, Blocked, "", "cannot read data: {log}", "see dmesg; juju remove-unit {unit}, then add one"},
	dataForbidden:   {"data-forbidden", "unit", Degraded, Blocked, "", "cannot use data: {log}", "give the files back to its user; it then starts by itself"},
	dataDiskFull:    {"data-disk-full", "unit", Degraded, Blocked, "", "disk full: {log}", "make room; it then starts by itself"},
	dataLocked:      {"data-locked", "unit", Degraded, Blocked, "", "another process has the data here open", "end it: fuser -v on member/snap/db"},
	diskMute:        {"disk-mute", "path", Unhealthy, Blocked, "", "{path} does not answer", "repair or unmount it"},
	pathClosed:      {"path-closed", "path", Degraded, Blocked, "", "{path} {problem}", "{remedy}"},
	pathAstray:      {"path-astray", "path", Degraded, Blocked, "", "{path} {problem}", "fix it by hand: {why}"},
	dataDiffers:     {"data-differs", "unit", Degraded, Blocked, "", "etcd does not start: its data differs", "if the others agree (etcdctl endpoint hashkv --cluster): juju remove-unit {unit}, then add one"},
	dataOfAnother:   {"data-of-another", "cluster", Degraded, Blocked, "", "data here belongs to cluster {cluster}, not {recorded}", "bring the recorded cluster back (now: {reach})"},
	dataOfOthers:    {"data-of-others", "cluster", Degraded, Blocked, "", "data here belongs to cluster {cluster}, not {recorded}", "keep one of them: the one here has {voters} voters"},
	dataGivenUp:     {"data-given-up", "cluster", Degraded, Waiting, "", "data here belongs to a replaced cluster, {cluster}", "it is moved aside once {recorded} has a quorum; if that is gone: restore from=data-dir"},
	joinRefused:     {"join-refused", "member", Degraded, Blocked, "", "cannot join: {member} runs etcd {version}, this charm has {carried}", "see how-to/scale"},
	upgradeTooFar:   {"upgrade-too-far", "unit", Sound, Blocked, "", "etcd {version} cannot go to {carried} in one step", "go up one minor version at a time"},
	downgrade:       {"downgrade", "unit", Sound, Blocked, "", "etcd {version} cannot go back to {carried}", "refresh to a charm with etcd {minor}"},
	foreignSettings: {"foreign-settings", "unit", Degraded, Blocked, "", "the service has settings that are not the charm's", "remove them (systemctl cat {service}, systemctl show-environment), then restart it"},
	peersTooOld:     {"peers-too-old", work, Degraded, Blocked, "", "peers unknown: {why}", "deploy the application again"},
	peersTooNew:     {"peers-too-new", work, Degraded, Blocked, "", "peers unknown: {why}", "juju refresh {application}"},
	upstreamBroken:  {"upstream-broken", "relation", Degraded, Blocked, "", "{problem} ({relation})", ""},

	leaveCostsQuorum:      {"leave-costs-quorum", "unit", Degraded, Blocked, "", "cannot leave: {ready} of {voters} voters would be ready, {needed} needed", "repair or remove the dead"},
	leaveWhileCorrupt:     {"leave-while-corrupt", "unit", Degraded, Blocked, "", "cannot leave: CORRUPT alarm on {member}", "run action alarm-disarm on the leader"},
	leaveAwaitsVoter:      {"leave-awaits-voter", "unit", Degraded, Blocked, "", "cannot leave: waiting for {other} to vote", "if it is in another cluster, remove this unit with --force"},
	leaveAwaitsRecord:     {"leave-awaits-record", "unit", Degraded, Blocked, "", "cannot leave: another cluster answers, none is on record", "wait for the leader, or give up its data: remove-unit --force"},
	leaveUnreached:        {"leave-unreached", "unit", Degraded, Blocked, "", "cannot leave the cluster: {reach}", "repair the others, or remove-unit --force"},
	leaveAwaitsLeadership: {"leave-awaits-leadership", "unit", Degraded, Waiting, "", "cannot leave yet: the last unit waits to lead, to record that the cluster ended", ""},
	leaveUnserved:         {"leave-unserved", "unit", Degraded, Blocked, "", "cannot leave: only this unit has the new data", "it has to serve that first"},
	leaving:               {"leaving", "unit", Sound, Maintenance, "", "leaving", ""},

	authoritiesMade:     {"authorities-made", "unit", Degraded, Waiting, "", "made the certificate authorities", "the next hook founds the cluster"},
	authoritiesAwaited:  {"authorities-awaited", "unit", Degraded, Waiting, "", "waiting for the leader to make the certificate authorities", ""},
	foundAwaitsLeader:   {"found-awaits-leader", "unit", Degraded, Waiting, "", "waiting for the leader to found the cluster", ""},
	joinAwaitsRecord:    {"join-awaits-record", "cluster", Degraded, Waiting, "", "waiting to join: the leader has to record cluster {cluster}", ""},
	joinAwaitsMember:    {"join-awaits-member", "unit", Degraded, Waiting, "", "waiting to join: {unit} is not ready", "if dead: juju remove-unit --force {unit}"},
	joinAwaitsRemoval:   {"join-awaits-removal", "member", Degraded, Waiting, "", "waiting to join: the leader has to remove {member}, whose unit is gone", ""},
	joinAwaitsOperation: {"join-awaits-operation", "id", Degraded, Waiting, "", "waiting to join: {id} is in progress", ""},
	rejoinAwaitsQuorum:  {"rejoin-awaits-quorum", "unit", Degraded, Waiting, "", "cannot rejoin: the others have no quorum without this unit", "bring them back"},
	clustersUnsettled:   {"clusters-unsettled", "cluster", Degraded, Waiting, "", "clusters differ: {cluster} here, {other} elsewhere", "the leader records one of them"},
	upstreamAwaited:     {"upstream-awaited", "relation", Degraded, Waiting, "", "{what} ({relation})", ""},
	joinAwaitsLearner:   {"join-awaits-learner", "member", Degraded, Waiting, "", "waiting to join: {member} joins first", ""},
	joinAwaitsVersion:   {"join-awaits-version", "member", Degraded, Waiting, "", "waiting to join: {member} does not report its version", ""},
	joinAwaitsAlarm:     {"join-awaits-alarm", "member", Degraded, Waiting, "", "waiting to join: CORRUPT alarm on {member}", ""},

	operationHalts:   {"operation-halts", "id", Unhealthy, Waiting, "", "{id} has stopped the cluster", ""},
	etcdFailing:      {"etcd-failing", "unit", Degraded, Waiting, "", "etcd keeps failing: {log}", ""},
	proxyFailing:     {"proxy-failing", "unit", Unhealthy, Waiting, "", "the proxy keeps failing: {log}", ""},
	proxyStopped:     {"proxy-stopped", "unit", Unhealthy, Waiting, "", "the proxy does not run", ""},
	noQuorum:         {"no-quorum", "cluster", Unhealthy, Waiting, "", "no quorum: {ready} of {voters} voters ready, {needed} needed", "bring them back; if gone: run recover"},
	noQuorumAlone:    {"no-quorum-alone", "unit", Unhealthy, Waiting, "", "no quorum: etcd waits for other members", "bring them back; if gone: run recover"},
	clusterSilent:    {"cluster-silent", "cluster", Unhealthy, Waiting, "", "no member of cluster {cluster} answers here", "bring the machines back"},
	membersNone:      {"members-none", "cluster", Unhealthy, Waiting, "", "the cluster answers with an empty member list", ""},
	noLeader:         {"no-leader", "cluster", Unhealthy, Waiting, "", "no member knows a leader", ""},
	upstreamSilent:   {"upstream-silent", "member", Unhealthy, Waiting, "", "no member of upstream answers here: {member}", ""},
	upstreamNoQuorum: {"upstream-no-quorum", "member", Unhealthy, Waiting, "", "no quorum upstream: {answering}/{members} members answer, none reads or writes", "juju status {application}"},
	upstreamAlarm:    {"upstream-alarm", "alarm", Unhealthy, Waiting, "", "alarm {alarm} upstream: no writes", "juju status {application}"},
	nothingThrough:   {"nothing-through", "address", Unhealthy, Waiting, "", "the proxy at {address} fails: {why}", "systemctl restart {service}"},
	upstreamUnknown:  {"upstream-unknown", "unit", Unhealthy, Waiting, "", "no member of upstream is known yet", ""},

	unitsUnknown:         {"units-unknown", work, Degraded, Waiting, "", "units unknown: {why}", ""},
	leaderUnknown:        {"leader-unknown", work, Degraded, Waiting, "", "leader unknown: {why}", ""},
	peersUnknown:         {"peers-unknown", work, Degraded, Waiting, "", "peers unknown: {why}", ""},
	authoritiesUnknown:   {"authorities-unknown", work, Degraded, Waiting, "", "certificate authorities unknown: {why}", ""},
	consumersUnknown:     {"consumers-unknown", work, Degraded, Waiting, "", "consumers unknown: {why}", ""},
	upstreamUnread:       {"upstream-unread", work, Degraded, Waiting, "", "upstream unknown: {why}", ""},
	peerAddressUnknown:   {"peer-address-unknown", work, Degraded, Waiting, "", "address for peers unknown: {why}", ""},
	clientAddressUnknown: {"client-address-unknown", work, Degraded, Waiting, "", "address for clients unknown: {why}", ""},
	turnUnknown:          {"turn-unknown", work, Degraded, Active, "", "turn to restart unknown: {why}", ""}, // it has a lease

	etcdHeldReplaced:      {"etcd-held-replaced", "unit", Degraded, Waiting, "", "etcd is kept down: cluster {cluster} was replaced", "it joins the new one"},
	etcdHeldElsewhere:     {"etcd-held-elsewhere", "unit", Degraded, Waiting, "", "etcd is kept down: a peer belongs to another cluster", "see the other units"},
	etcdHeldUnlisted:      {"etcd-held-unlisted", "unit", Degraded, Waiting, "", "etcd is kept down: a peer no longer lists it", "bring the others back"},
	etcdHeldRefused:       {"etcd-held-refused", "unit", Degraded, Waiting, "", "etcd is kept down: a peer refuses its certificate", "bring the others back"},
	etcdHeldUntrusted:     {"etcd-held-untrusted", "unit", Degraded, Waiting, "", "etcd is kept down: a peer is not trusted", "look at clocks and certificates"},
	etcdHeld:              {"etcd-held", "unit", Degraded, Waiting, "", "etcd is kept down by its gate", "journalctl --unit={service}"},
	etcdStopped:           {"etcd-stopped", "unit", Degraded, Waiting, "", "etcd does not run here", ""},
	etcdAstray:            {"etcd-astray", "unit", Degraded, Waiting, "", "etcd here belongs to another cluster, {cluster}", ""},
	stepFailed:            {"step-failed", "step", Degraded, Waiting, "", "cannot {step}: {error}", ""},
	clusterUnknown:        {"cluster-unknown", "unit", Unhealthy, Waiting, "", "no member answers, and the cluster's ID is not known", ""},
	clusterAbsent:         {"cluster-absent", "application", Unhealthy, Waiting, "", "no cluster has been founded yet", ""},
	restartAwaitsLearner:  {"restart-awaits-learner", "member", Sound, Waiting, "", "restart pending: {member} is joining", ""},
	restartAwaitsVoter:    {"restart-awaits-voter", "member", Sound, Waiting, "", "restart pending: {member} is not ready", ""},
	restartAwaitsListing:  {"restart-awaits-listing", "unit", Sound, Waiting, "", "restart pending: the member list has an old address of {unit}", ""},
	restartAwaitsSelf:     {"restart-awaits-self", "unit", Sound, Waiting, "", "restart pending: this member is not ready", ""},
	restartAwaitsOthers:   {"restart-awaits-others", "unit", Sound, Waiting, "", "restart pending: as raft leader this member goes last, after {unit}", ""},
	restartAwaitsQuota:    {"restart-awaits-quota", "member", Sound, Waiting, "", "restart pending: {member} takes the higher quota first", ""},
	restartAwaitsAll:      {"restart-awaits-all", "member", Sound, Waiting, "", "restart pending: {member} {state}", ""},
	removalAwaitsQuorum:   {"removal-awaits-quorum", "member", Degraded, Waiting, "", "{member} has no unit, but its removal would cost the quorum", "repair the others"},
	restartAwaitsSnapshot: {"restart-awaits-snapshot", "kind", Sound, Waiting, "", "restart pending: {kind} first: {progress}", ""},

	memberSilent:         {"member-silent", "member", Degraded, Active, Waiting, "no answer here from {member}", ""},
	memberNotReady:       {"member-not-ready", "member", Degraded, Active, Waiting, "answers but is not ready: {member}", ""},
	memberLearner:        {"member-learner", "member", Degraded, Active, Waiting, "still a learner: {member}", ""},
	alarmRaised:          {"alarm-raised", "member", Degraded, Active, "", "{alarm} alarm on {member}", ""},
	turnUnleased:         {"turn-unleased", "holder", Degraded, Active, "", "turn of {holder} has no lease, all wait for it", "etcdctl del etcd-charm/turn"},
	turnUnowned:          {"turn-unowned", "holder", Degraded, Active, "", "turn holder {holder} is not a unit, all wait for it", "etcdctl del etcd-charm/turn"},
	consumerAwaitsCharm:  {"consumer-awaits-charm", "relation", Degraded, Waiting, "", "{relation} waits: the charm of {unit} does not know endpoint {endpoint}", "refresh it"},
	consumerBagFails:     {"consumer-bag-fails", "relation", Degraded, Blocked, "", "no update for {relation}: {problem}", "see the members in health"},
	databaseNearlyFull:   {"database-nearly-full", "member", Degraded, Active, "", "database above {percent} % of its quota: {member}", ""},
	memberLagging:        {"member-lagging", "member", Degraded, Active, "", "more than {limit} entries behind: {member}", ""},
	leadersDiffer:        {"leaders-differ", "member", Degraded, Active, "", "members disagree on who leads: {member}; terms {first} to {last}", ""},
	certificateBroken:    {"certificate-broken", "certificate", Degraded, Active, "", "{certificate} certificate here: {problem}", ""},
	certificatesDue:      {"certificates-due", "certificate", Degraded, Active, "", "certificates here expire within 30 days: {certificate}", ""},
	clientCertificateDue: {"client-certificate-due", "unit", Degraded, Active, "", "client certificate of {unit} expires soon ({left})", "see the status of {provider}"},
	memberCertificateDue: {"member-certificate-due", "member", Degraded, Active, "", "server certificate expires within 30 days: {member}", ""},
	authoritiesDue:       {"authorities-due", "application", Degraded, Active, "", "certificate authorities expire on {when}", "move to another application before"},
	authoritiesAging:     {"authorities-aging", "application", Sound, "", "", "certificate authorities expire on {when}", "move to another application before"},
	memberErrors:         {"member-errors", "member", Degraded, Active, "", "{member} reports: {errors}", ""},
	memberWithoutUnit:    {"member-without-unit", "member", Degraded, Active, "", "member without a unit: {member}", ""},
	unitWithoutMember:    {"unit-without-member", "unit", Degraded, Active, Waiting, "unit without a member: {unit}", ""},
	upstreamMemberSilent: {"upstream-member-silent", "member", Degraded, Active, "", "no answer here from {member}", ""},
	crashed:              {"crashed", "unit", Sound, Active, "", "the service ended by itself {times} and was started again", ""},
	dataReplaced:         {"data-replaced", "unit", Sound, Active, "", "the data here was bad or too old, the unit joined again today", ""},
	revokedMany:          {"revoked-many", "count", Degraded, Active, "", "{count} ended relations of at most {limit}: connecting is slow", "remove no more"},
	memoryExhausted:      {"memory-exhausted", "unit", Degraded, Active, "", "memory ran out here {times}, etcd was started again", "give the machine more memory"},
	upstreamMisled:       {"upstream-misled", "relation", Degraded, Active, "", "{relation} names {address}: not dialled", ""},
	versionsDiffer:       {"versions-differ", "version", Degraded, "", "", "members run different versions: {version}", ""},
	zoneShared:           {"zone-shared", "unit", Sound, Active, "", "too many voters in zone {zone}: {unit}", "add a unit, remove one of these"},
	zoneAlone:            {"zone-alone", "zone", Sound, "", "", "all voters are in zone {zone}: if it fails, so does the cluster", "a cloud with several zones has Juju spread units over them"},
	pathForeign:          {"path-foreign", "path", Sound, "", "", "{path} {problem}", "{remedy}"},
	snapshotFailed:       {"snapshot-failed", "unit", Degraded, Active, "", "{unit}: snapshot failed: {error}", "run list-snapshots"},
	snapshotOld:          {"snapshot-old", "unit", Degraded, Active, "", "{unit}: the last snapshot is {age} old", "run action snapshot"},
	snapshotNone:         {"snapshot-none", "unit", Degraded, Active, "", "{unit} has no good snapshot", "run action snapshot"},
	snapshotMissed:       {"snapshot-missed", "unit", Sound, "", "", "{unit} has no snapshot {why}: {error}", ""},
	snapshotsOff:         {"snapshots-off", "option", Sound, "", "", "no automatic snapshots: {option} is 0", "juju config {option}=6h"},
	asideKept:            {"aside-kept", "path", Sound, "", "", "{path}: data that was moved aside, {size}", "action purge lists what can be deleted"},
	diskRemote:           {"disk-remote", "unit", Sound, "", "", "data is on {filesystem}, a network file system", "move it to a local disk"},
	diskMemory:           {"disk-memory", "unit", Sound, "", "", "data is in memory ({filesystem}): lost at a reboot", ""},
	diskLayered:          {"disk-layered", "unit", Sound, "", "", "data is on {filesystem}, not on a disk of its own", "mount a disk"},
	diskCopying:          {"disk-copying", "unit", Sound, "", "", "data is on {filesystem}, a copy-on-write file system", ""},
	diskFlushless:        {"disk-flushless", "unit", Sound, "", "", "a power cut may lose writes: the disk does not flush", ""},
	diskFailing:          {"disk-failing", "unit", Sound, "", "", "disk too slow: a write takes {took}", "the leader may be lost"},
	diskSlow:             {"disk-slow", "unit", Sound, "", "", "slow disk: a write takes {took}, 10ms is good", ""},
	diskRotates:          {"disk-rotates", "unit", Sound, "", "", "the disk is rotational", "an SSD syncs faster"},
	diskRoom:             {"disk-room", "unit", Sound, "", "", "little space on the disk: {size} free, {room} may be needed", ""},
	diskInodes:           {"disk-inodes", "unit", Sound, "", "", "only {count} more files fit on the disk", ""},
	workRuns:             {"work-runs", "kind", Sound, "", "", "{kind} runs: {progress}", ""},
	turnHeld:             {"turn-held", "unit", Sound, "", "", "{unit} holds the turn to restart", ""},

	isProxy:           {"is-proxy", "unit", Sound, "", "", "{unit} is a proxy and has no member", "ask a unit of the etcd application"},
	noSuchUnit:        {"no-such-unit", "unit", Sound, "", "", "{unit} is not a unit of {application}, which has {units}", ""},
	lastVoter:         {"last-voter", "member", Sound, "", "", "{member} is the last voter: its removal ends the cluster", "its data directory stays on the machine"},
	quorumAtStake:     {"quorum-at-stake", "member", Sound, "", "", "without {member} there is no quorum: {ready} of {voters} voters would be ready, {needed} are needed", ""},
	voterNotReady:     {"voter-not-ready", "member", Sound, "", "", "{member} is not ready", ""},
	noVoter:           {"no-voter", "unit", Sound, "", "", "{unit} has no voter", ""},
	notLostHere:       {"not-lost-here", "unit", Sound, "", "", "this unit is no member, or its options cannot be used", ""},
	notLostUnrecorded: {"not-lost-unrecorded", "application", Sound, "", "", "no cluster is recorded", ""},
	notLostEnded:      {"not-lost-ended", "cluster", Sound, "", "", "cluster {cluster} ended properly", "the leader founds a new one by itself"},
	notLostOthers:     {"not-lost-others", "unit", Sound, "", "", "there are other units, which may hold the data: {unit}", ""},
	notLostData:       {"not-lost-data", "unit", Sound, "", "", "there is data on this unit", ""},
	notLostAnswers:    {"not-lost-answers", "unit", Sound, "", "", "a member of a cluster answers", ""},
	confirmDiffers:    {"confirm-differs", "cluster", Sound, "", "", "confirm is not the ID of the cluster to give up", "confirm=id-{cluster} founds a new, empty one"},
	foundOnLeader:     {"found-on-leader", "unit", Sound, "", "", "only the leader founds a cluster, and this unit is not known to be the leader", "run the action on the leader"},
	revisionAhead:     {"revision-ahead", "revision", Sound, "", "", "revision {revision} does not exist yet, the current one is {current}", ""},
	alarmSplit:        {"alarm-split", "alarm", Sound, "", "", "members' data differs, and etcd does not say whose is bad", "compare (etcdctl endpoint hashkv --cluster) and remove the bad units"},
	alarmUntrusted:    {"alarm-untrusted", "unit", Sound, "", "", "the data of {unit} cannot be trusted, and no action repairs it", "juju remove-unit {unit}, then alarm-disarm again, then juju add-unit {application}"},
	alarmFull:         {"alarm-full", "member", Sound, "", "", "the database of {member} takes {size} of a quota of {quota}", "raise quota_backend_bytes, or run compact and defrag, or delete keys"},
	turnTaken:         {"turn-taken", "unit", Sound, "", "", "other maintenance is running: {unit} restarts, leaves or runs such an action", "try again when it is done"},
	corruptStays:      {"corrupt-stays", "alarm", Sound, "", "", "while alarm {alarm} is raised nothing is changed", "action alarm-disarm says what to do"},
	alarmOnLeader:     {"alarm-on-leader", "alarm", Sound, "", "", "while alarm {alarm} is raised this runs on the leader only", "juju run {application}/leader …"},
	operationAwaits:   {"operation-awaits", "unit", Sound, Active, "", "{id}: no answer from {unit} yet", "if dead: operation without={unit}"},
	operationGoes:     {"operation-goes", "unit", Sound, Active, "", "{id}: still to restart: {unit}", ""},
	operationPrepares: {"operation-prepares", "unit", Sound, Active, "", "{id}: {unit} makes the new data", ""},
	operationStops:    {"operation-stops", "unit", Degraded, Active, "", "{id}: still to stop: {unit}", "if it is dead: operation without={unit}"},
	operationServes:   {"operation-serves", "unit", Sound, Active, "", "{id}: still to serve the new data: {unit}", ""},
	operationLater:    {"operation-later", "id", Sound, Active, "", "{id} needs a newer charm: {operation}", "juju refresh {application}"},

	operationOnLeader:    {"operation-on-leader", "application", Sound, "", "", "only the leader manages operations, and this unit is not known to be the leader", "juju run {application}/leader …"},
	operationRuns:        {"operation-runs", "operation", Sound, "", "", "operation {operation} is in progress", "operation cancel={operation} cancels it"},
	operationNone:        {"operation-none", "application", Sound, "", "", "no operation is in progress", ""},
	operationOther:       {"operation-other", "operation", Sound, "", "", "the operation in progress is {operation}", ""},
	operationEmpty:       {"operation-empty", "application", Sound, "", "", "no unit would take part", ""},
	snapshotAwaitsVoter:  {"snapshot-awaits-voter", "unit", Sound, "", "", "{unit} has no voter that is ready", "run it on another unit: see list-members"},
	snapshotRuns:         {"snapshot-runs", "kind", Sound, "", "", "{kind} is already running: {progress}", "list-snapshots shows its progress"},
	workFailed:           {"work-failed", "kind", Sound, "", "", "{kind} failed: {error}", ""},
	snapshotElsewhere:    {"snapshot-elsewhere", "unit", Sound, "", "", "{path} is on {unit}", "juju run {unit} …"},
	snapshotUnknown:      {"snapshot-unknown", "path", Sound, "", "", "no snapshot {path} is kept on {unit}", "list-snapshots says which are"},
	snapshotNewest:       {"snapshot-newest", "path", Sound, "", "", "{path} is the newest good snapshot, which is never deleted", ""},
	keptUnknown:          {"kept-unknown", "path", Sound, "", "", "{unit} keeps no {path}", "purge lists what can be deleted"},
	operationAwaitsCharm: {"operation-awaits-charm", "unit", Sound, "", "", "the charm of {unit} does not know {operation}", "refresh it, or leave it out: without={unit}"},
	operationBegun:       {"operation-begun", "application", Sound, "", "", "only the leader starts it, and this unit is not known to be the leader", "{command}"},
	operationPassed:      {"operation-passed", "operation", Sound, "", "", "{operation} is past its point of no return", "the old data stays on the units"},
	operationSource:      {"operation-source", "unit", Sound, "", "", "{unit} is the source of the new data", "operation cancel={operation} cancels it"},
	unitAnswers:          {"unit-answers", "unit", Sound, "", "", "etcd on {unit} still answers, and would go on with the old data", "on its machine: systemctl disable --now {service}"},
	replacedDiffers:      {"replaced-differs", "cluster", Sound, "", "", "confirm is not the ID of the cluster whose data is given up", "confirm=id-{cluster}"},
	clusterStays:         {"cluster-stays", "cluster", Sound, "", "", "cluster {cluster} is on record already", ""},
	snapshotMissing:      {"snapshot-missing", "snapshot", Sound, "", "", "no good snapshot {snapshot} is kept here", "action list-snapshots shows which are"},
	snapshotUnfit:        {"snapshot-unfit", "snapshot", Sound, "", "", "{snapshot} cannot be restored: {why}", ""},
	sourceElsewhere:      {"source-elsewhere", "unit", Sound, "", "", "what {unit} has can only be seen there", "{command}"},
	sourceLeaves:         {"source-leaves", "unit", Sound, "", "", "{unit} is leaving and cannot be the source of the new data", ""},
	dataMissing:          {"data-missing", "unit", Sound, "", "", "{unit} shows no data of a cluster", ""},
	quorumAnswers:        {"quorum-answers", "cluster", Sound, "", "", "cluster {cluster} has a quorum: there is nothing to recover", ""},
	logUnread:            {"log-unread", "unit", Sound, "", "", "it is not known what the log of {unit} holds", "wait for its next hook; if it is dead for good: {command}"},
	survivorMissing:      {"survivor-missing", "application", Sound, "", "", "no unit shows data to recover from", "restore a snapshot"},
}
