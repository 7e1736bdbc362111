package mutants

// mutants breach what the program promises, each in one place. Whoever moves such a place mends its row here; a new promise
// deserves a row, whose test must be seen to fail.
var mutants = []mutant{
	// Judgements and decisions.
	{
		"takes half of an even number of voters for a quorum", "internal/operator/safety.go",
		"n/2 + 1 }", "(n + 1) / 2 }", "TestQuorumFirst",
	},
	{
		"removes the last voter", "internal/operator/safety.go",
		`return "it is the last voter"`, `return ""`, "TestQuorumFirst",
	},
	{
		"takes silence for absence", "internal/operator/survey.go",
		"out.Reach = Unreachable", "out.Reach = Absent", "TestSurvey",
	},
	{
		"lets any cluster's answer count", "internal/operator/survey.go",
		"!a.answered() || !s.counts(a.ClusterID)", "!a.answered()", "TestSurvey",
	},
	{
		"founds beside a cluster that only a unit names", "internal/operator/decide.go",
		"word.ClusterID != r.Ended && !word.Stopped {", "false {", "TestNamed",
	},
	{
		"starts a member of etcd's list on an empty disk", "internal/operator/cluster.go",
		"if listed && own.Started() {", "if listed && false {", "TestRule04NoAmnesia",
	},
	{
		"forgets that the cluster ended", "internal/operator/leave.go",
		"record.ClusterID, record.Ended = l.w.Data.ClusterID, l.w.Data.ClusterID", "record.ClusterID = l.w.Data.ClusterID", "TestRule01FoundedOnce",
	},
	{
		"gives up a cluster whose data lies here", "internal/operator/lost.go",
		"case w.Data.State != NoData:", "case w.Data.State == AlienData:", "TestFoundClusterRefuses",
	},
	{
		"restarts the raft leader before the others", "internal/operator/roll.go",
		"if own.Leader != own.ID {", "if own.Leader != 0 {", "TestRule05OneAtATime",
	},
	{
		"restarts in a turn of an earlier hook, which may run out", "internal/operator/roll.go",
		" && did[TakeTurn](l)\n", "\n", "TestRollPhase",
	},
	{
		"refuses units' certificates though the units are unknown", "internal/operator/leaves.go",
		"if !l.m.Units.OK || !l.m.Cluster.OK", "if !l.m.Cluster.OK", "TestWhatLeftIsRefused",
	},
	{
		"refuses its own peer certificate before it has another", "internal/operator/certificates.go",
		"if !slices.Contains(refused.Peer, peer.Serial) &&", "if", "TestOwnCertificateIsReplacedBeforeItIsRefused",
	},
	{
		"lets a certificate that is due be", "internal/operator/certificates.go",
		"|| leaf.Due ||", "||", "TestRule09TrustOverlaps",
	},
	{
		"leaves an address of clients out of certificates", "internal/operator/addresses.go",
		"out = append(out, l.m.ClientAddress.Value.All...)", "", "TestRule09TrustOverlaps",
	},
	{
		"ends a relation on one answer that it is not found", "internal/operator/vanished.go",
		"case bag == BagNotFound && (was == missing || was == vanished):", "case bag == BagNotFound:", "TestDesertion",
	},
	{
		"drops ended relations while their certificates are valid", "internal/operator/bags.go",
		"keptPeriods = 5", "keptPeriods = 4", "TestRevokedOutlastsAWrongClock",
	},
	{
		"publishes a revoked certificate", "internal/operator/proxy.go",
		"pub.RelationID, pub.Withheld = id, revoked[id]", "pub.RelationID = id", "TestRule08OnlyTruthsArePublished",
	},
	{
		"tells consumers of a learner that serves", "internal/operator/proxy.go",
		"for _, mem := range l.voters() {\n\t\tif !mem.Started()", "for _, mem := range l.w.Members {\n\t\tif !mem.Started()", "TestRule08OnlyTruthsArePublished",
	},
	{
		"compares settings without what they trust", "internal/operator/server.go",
		`"CHARM_TRUST=" + s.Trust,`, "", "TestRule09TrustOverlaps",
	},
	{
		"compares bags without their values", "internal/operator/server.go",
		"parts = append(parts, key, bag[key])", "parts = append(parts, key)", "TestDigests",
	},
	{
		"repeats a step without effect", "internal/operator/reconcile.go",
		"count[what] >= maxRepeats", "false", "TestReconcileEnds",
	},
	{
		"publishes when its time was up in the middle of a step", "internal/operator/reconcile.go",
		"err = h.Do(ctx, p.Step)\n\t\tif ctx.Err() != nil {", "err = h.Do(ctx, p.Step)\n\t\tif false {", "TestReconcileFailsWhenTimeIsUp",
	},

	// The pass.
	{
		"ends well though Juju took nothing", "internal/charm/hook.go",
		"return j.Flush(ctx, model, plan)", "_ = j.Flush(ctx, model, plan)\n\treturn nil", "TestHookKeepsTheOrder",
	},
	{
		"publishes a pass that did not settle", "internal/charm/hook.go",
		`return fmt.Errorf("cannot settle: %w", err)`, "return j.Flush(ctx, model, plan)", "TestBlindCharmFails",
	},
	{
		"records a cluster long after it asked who leads", "internal/charm/hook.go",
		"if err := overdue(model, plan, now().Sub(began)); err != nil {", "if err := error(nil); err != nil || began.IsZero() {", "TestHookRecordsNoClusterTooLate",
	},
	{
		"judges members by a goal-state that is older", "internal/charm/hook.go",
		"seen, turn := m.Seen(ctx)\n\tmodel, err := j.Observe(ctx, e, seen)",
		"model, err := j.Observe(ctx, e, nil)\n\tseen, turn := m.Seen(ctx)\n\tmodel.Seen = seen", "TestHookKeepsTheOrder",
	},

	// What Juju says, and what it is told.
	{
		"believes a goal-state that does not name the unit itself", "internal/juju/observe.go",
		"if _, ok := units[o.env.Unit]; !ok {", "if false {", "TestObserveUnits",
	},
	{
		"takes a bag that could not be read for an empty one", "internal/juju/observe.go",
		"if err != nil && !notThere(err) {", "if false {", "TestNoFoundingWhenAToolFails",
	},
	{
		"founds in a hook in which a tool has failed", "internal/juju/observe.go",
		"err = o.failure()", "_ = o.failure()", "TestNoFoundingWhenAToolFails",
	},
	{
		"makes authorities though a secret has their label", "internal/juju/authority.go",
		"*secret.Label == authorityLabel {", "*secret.Label == authorityLabel && false {", "TestObserveAuthority",
	},
	{
		"gives a hook tool a private key as an argument", "internal/juju/authority.go",
		`fmt.Sprintf("%s#file=/proc/%d/fd/%d", key, os.Getpid(), file.Fd())`, `key+"="+a.Content[key]`, "TestFlushAuthority",
	},
	{
		"goes on publishing after a hook tool failed", "internal/juju/flush.go",
		`return fmt.Errorf("cannot publish: %w", err)`, "continue", "TestFlushFailsWithItsTools",
	},

	// Certificates.
	{
		"renews certificates only once none of their time remains", "internal/pki/describe.go",
		"info.Remaining < leafLifetime/3", "info.Remaining < 0", "TestDescribeDates",
	},
	{
		"renews a certificate that ends with its authority again and again", "internal/pki/describe.go",
		"info.Due = info.Due && cert.NotAfter.Before(anchor.NotAfter)", "", "TestIssueStaysWithinTheAuthority",
	},
	{
		"leaves the next period's certificate off the revocation list", "internal/pki/derive.go",
		"period <= endedPeriod+1", "period <= endedPeriod", "TestSerialsOfNamesEveryLiveCertificate",
	},
	{
		"begins certificates by one machine's clock", "internal/pki/leaf.go",
		"template.NotBefore, template.NotAfter = parent.NotBefore,", "template.NotBefore, template.NotAfter = now,", "TestIssue",
	},
	{
		"takes one key for the authority of both ports", "internal/pki/authority.go",
		"if samePublicKey(p.PublicKey, c.PublicKey) {", "if false && samePublicKey(p.PublicKey, c.PublicKey) {", "TestDecodeAuthorityNamesTheBrokenKey",
	},

	// The machine.
	{
		"replaces a file before all are on the disk", "internal/host/files.go",
		"return p.Sync()", "return nil", "TestWhatIsWrittenOutlastsAPowerCut",
	},
	{
		"leaves a file's name to the next power cut", "internal/host/files.go",
		"if err := d.Sync(); err != nil {", "if err := error(nil); err != nil {", "TestWhatIsWrittenOutlastsAPowerCut",
	},
	{
		"deletes data that has to go", "internal/host/data.go",
		"os.Rename(h.data(), aside)", "os.RemoveAll(h.data())", "TestMoveAside",
	},
	{
		"takes a database without its log for an empty disk", "internal/host/data.go",
		"if err != nil || !empty {", "if err != nil || !empty && false {", "TestLookData",
	},
	{
		"lets everybody read private keys", "internal/host/tls.go",
		"key, secret, o}", "key, public, o}", "TestOthersReadNoKey",
	},
	{
		"starts etcd without its revocation list", "internal/host/member.go",
		`"ETCD_CLIENT_CRL_FILE=" + p.tls(revokedFile),`, "", "TestPortsReadTheirOwnFiles",
	},
	{
		"forgets a certificate that it has issued", "internal/host/tls.go",
		"if err := h.noteIssued(issuedOf(name, info)); err != nil {", "if err := error(nil); err != nil {", "TestIssuedIsRemembered",
	},
	{
		"keeps a removed unit's keys until its service has ended", "internal/host/uninstall.go",
		"keys := os.RemoveAll(filepath.Clean(h.tls(\"\")))", "keys := error(nil)", "TestUninstallTakesTheKeysFirst",
	},
	{
		"promotes a learner that has not caught up", "internal/host/membership.go",
		"if said.RaftAppliedIndex+promotionLag < ahead.RaftIndex {", "if ahead == nil {", "TestPromotedOnceCaughtUp",
	},
	{
		"takes the turn from somebody who was quicker", "internal/host/turn.go",
		`clientv3.Compare(clientv3.CreateRevision(turnKey), "=", 0)`, `clientv3.Compare(clientv3.CreateRevision(turnKey), ">", -1)`, "TestTurnIsTakenByOne",
	},

	// The proxy, and the bags that others read.
	{
		"serves a web page", "internal/proxy/page.go",
		`if _, ok := r.Header["Origin"]; ok {`, `if _, ok := r.Header["Origin"]; ok && false {`, "TestForbidden",
	},
}
