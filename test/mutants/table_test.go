package mutants

// mutants breach what the program promises, each in one place. Whoever moves such a place mends its row here. A new
// promise deserves a row, and a test that fails on it. A test that keeps what it finds beside the sources, as rapid's
// do, is not for this table.
var mutants = []mutant{
	// Judgements and decisions.
	{
		"takes half of an even number of voters for a quorum",
		"internal/operator/safety.go", "TestQuorumFirst",
		"n/2 + 1 }",
		"(n + 1) / 2 }",
	},
	{
		"removes the last voter",
		"internal/operator/safety.go", "TestQuorumFirst",
		"return because(lastVoter, l.names(ids...))",
		"return Reason{}",
	},
	{
		"gives up data that no majority has",
		"internal/operator/safety.go", "TestMayForget",
		"if v := (votes{len(l.voters()), l.ready(id)}); !v.decide() {",
		"if v := (votes{len(l.voters()), l.ready(id)}); v.voters == 0 {",
	},
	{
		"takes a log of a former term for one of today",
		"internal/operator/age.go", "TestOlder",
		"(d.Index < seen.Index || d.Term < seen.Term)",
		"d.Index < seen.Index",
	},
	{
		"takes another unit's data for its own",
		"internal/operator/owner.go", "TestStrangers",
		"case owner.Unit != \"\" && owner.Unit != l.m.Unit:",
		"case false:",
	},
	{
		"gives up data for a full disk",
		"internal/operator/unfit.go", "TestAilments",
		"{\"no space left on device\", diskFull}",
		"{\"no space left on device\", badData}",
	},
	{
		"takes silence for absence",
		"internal/operator/survey.go", "TestSurvey",
		"out.Reach = Unreachable",
		"out.Reach = Absent",
	},
	{
		"lets any cluster's answer count",
		"internal/operator/survey.go", "TestSurvey",
		"!a.answered() || !s.counts(a.ClusterID)",
		"!a.answered()",
	},
	{
		"founds beside a cluster that only a unit names",
		"internal/operator/decide.go", "TestNamed",
		"word.ClusterID != r.Ended && !word.Stopped {",
		"false {",
	},
	{
		"founds again when the data of a cluster that was never on record is lost",
		"internal/operator/decide.go", "TestRule01FoundedOnce",
		"lost != r.Ended && l.w.Data.State == NoData && l.leader() {",
		"lost == 1 && l.leader() {",
	},
	{
		"starts a member of etcd's list on an empty disk",
		"internal/operator/cluster.go", "TestRule04NoAmnesia",
		"if listed && own.Started() {",
		"if listed && false {",
	},
	{
		"forgets that the cluster ended",
		"internal/operator/leave.go", "TestRule01FoundedOnce",
		"record.ClusterID, record.Ended = l.w.Data.ClusterID, l.w.Data.ClusterID",
		"record.ClusterID = l.w.Data.ClusterID",
	},
	{
		"records the end while another member may serve",
		"internal/operator/leave.go", "TestRule01FoundedOnce",
		"if word.ClusterID != 0 && !word.Stopped {",
		"if false && word.Stopped {",
	},
	{
		"gives up a cluster whose data lies here",
		"internal/operator/lost.go", "TestFoundClusterRefuses",
		"case w.Data.State != NoData:",
		"case w.Data.State == AlienData:",
	},
	{
		"restarts the raft leader before the others",
		"internal/operator/roll.go", "TestRule05OneAtATime",
		"if own.Leader != own.ID {",
		"if own.Leader != 0 {",
	},
	{
		"lets whoever has the turn restart while another may without, once somebody has taken NOSPACE back",
		"internal/operator/space.go", "TestOneOrderForBoth",
		"!l.m.Cluster.OK || !l.tight()",
		"!l.m.Cluster.OK || !l.full()",
	},
	{
		"restarts without the turn though not every unit has heard of the quota",
		"internal/operator/roll.go", "TestQuotaIsTheWayOut",
		"a.who != \"\" && l.withoutTurn(own.ID)",
		"a.who == own.Name && l.withoutTurn(own.ID)",
	},
	{
		"restarts in a turn of an earlier hook, which may run out",
		"internal/operator/roll.go", "TestRollPhase",
		" && did[TakeTurn](l)\n",
		"\n",
	},
	{
		"refuses units' certificates though the units are unknown",
		"internal/operator/leaves.go", "TestWhatLeftIsRefused",
		"if !l.m.Units.OK || !l.m.Cluster.OK",
		"if !l.m.Cluster.OK",
	},
	{
		"refuses its own peer certificate before it has another",
		"internal/operator/certificates.go", "TestOwnCertificateIsReplacedBeforeItIsRefused",
		"if !slices.Contains(refused.Peer, peer.Serial) &&",
		"if",
	},
	{
		"lets a certificate that is due be",
		"internal/operator/certificates.go", "TestRule09TrustOverlaps",
		"|| leaf.Due ||",
		"||",
	},
	{
		"leaves an address of clients out of certificates",
		"internal/operator/addresses.go", "TestRule09TrustOverlaps",
		"out = append(out, l.m.ClientAddress.Value.All...)",
		"",
	},
	{
		"ends a relation on one answer that it is not found",
		"internal/operator/vanished.go", "TestDesertion",
		"case bag == BagNotFound && (was == missing || was == vanished):",
		"case bag == BagNotFound:",
	},
	{
		"drops ended relations while their certificates are valid",
		"internal/operator/peers.go", "TestRevokedOutlastsAWrongClock",
		"keptPeriods = 5",
		"keptPeriods = 4",
	},
	{
		"records more ended relations than a unit can read",
		"internal/operator/peers.go", "TestRevokedHasABound",
		"over > 0 {",
		"over > 0 && false {",
	},
	{
		"remembers what it wrote to a relation that is gone",
		"internal/operator/decide.go", "TestMemoryGoesWithItsRelation",
		"l.forget(p, at)",
		"",
	},
	{
		"publishes a revoked certificate",
		"internal/operator/consumers.go", "TestRule08OnlyTruthsArePublished",
		"generation := ended[c.id] + 1",
		"generation := max(1, ended[c.id])",
	},
	{
		"tells consumers of a learner that serves",
		"internal/operator/consumers.go", "TestRule08OnlyTruthsArePublished",
		"for _, mem := range l.voters() {\n\t\tif !mem.Started()",
		"for _, mem := range l.w.Members {\n\t\tif !mem.Started()",
	},
	{
		"compares settings without what they trust",
		"internal/operator/server.go", "TestRule09TrustOverlaps",
		`"CHARM_TRUST=" + s.Trust,`,
		"",
	},
	{
		"restarts for another copy of the same server",
		"internal/operator/release.go", "TestARefreshRestartsForAnotherServer",
		"return runs\n",
		"return l.w.Carried\n",
	},
	{
		"takes two servers that are not known for the same",
		"internal/operator/release.go", "TestARefreshRestartsForAnotherServer",
		`id(runs) == "" || `,
		"",
	},
	{
		"compares bags without their values",
		"internal/operator/server.go", "TestDigests",
		"parts = append(parts, key, bag[key])",
		"parts = append(parts, key)",
	},
	{
		"repeats a step without effect",
		"internal/operator/reconcile.go", "TestReconcileEnds",
		"count[what] >= maxRepeats",
		"false",
	},
	{
		"publishes when its time was up in the middle of a step",
		"internal/operator/reconcile.go", "TestReconcileFailsWhenTimeIsUp",
		"err = h.Do(ctx, p.Step)\n\t\tif ctx.Err() != nil {",
		"err = h.Do(ctx, p.Step)\n\t\tif false {",
	},

	// The pass.
	{
		"ends well though Juju took nothing",
		"internal/charm/hook.go", "TestHookKeepsTheOrder",
		"return j.Flush(ctx, model, plan)",
		"_ = j.Flush(ctx, model, plan)\n\treturn nil",
	},
	{
		"publishes a pass that did not settle",
		"internal/charm/hook.go", "TestBlindCharmFails",
		`return fmt.Errorf("cannot settle: %w", err)`,
		"return j.Flush(ctx, model, plan)",
	},
	{
		"records a cluster long after it asked who leads",
		"internal/charm/hook.go", "TestHookRecordsNoClusterTooLate",
		"if err := overdue(plan, now().Sub(began)); err != nil {",
		"if err := error(nil); err != nil || began.IsZero() {",
	},
	{
		"judges members by a goal-state that is older",
		"internal/charm/hook.go", "TestHookKeepsTheOrder",
		"seen, turn := m.Seen(ctx)\n\tmodel, err := j.Observe(ctx, e, seen)",
		"model, err := j.Observe(ctx, e, nil)\n\tseen, turn := m.Seen(ctx)\n\tmodel.Seen = seen",
	},

	// What Juju says, and what it is told.
	{
		"believes a goal-state that does not name the unit itself",
		"internal/juju/observe.go", "TestObserveUnits",
		"if _, ok := units[o.env.Unit]; !ok {",
		"if false {",
	},
	{
		"takes a bag that could not be read for an empty one",
		"internal/juju/observe.go", "TestNoFoundingWhenAToolFails",
		"if err != nil && !notThere(err) {",
		"if false {",
	},
	{
		"founds in a hook in which a tool has failed",
		"internal/juju/observe.go", "TestNoFoundingWhenAToolFails",
		"err = o.failure()",
		"_ = o.failure()",
	},
	{
		"makes authorities though a secret has their label",
		"internal/juju/secrets.go", "TestObserveAuthority",
		"*secret.Label == label {",
		"*secret.Label == label && false {",
	},
	{
		"gives a hook tool a private key as an argument",
		"internal/juju/secrets.go", "TestFlushAuthority",
		`fmt.Sprintf("%s#file=/proc/%d/fd/%d", key, os.Getpid(), file.Fd())`,
		`key+"="+content[key]`,
	},
	{
		"goes on publishing after a hook tool failed",
		"internal/juju/flush.go", "TestFlushFailsWithItsTools",
		`return fmt.Errorf("cannot publish: %w", err)`,
		"continue",
	},

	// Certificates.
	{
		"renews certificates only once none of their time remains",
		"internal/pki/describe.go", "TestDescribeDates",
		"info.Remaining < leafLifetime/3",
		"info.Remaining < 0",
	},
	{
		"renews a certificate that ends with its authority again and again",
		"internal/pki/describe.go", "TestIssueStaysWithinTheAuthority",
		"info.Due = info.Due && cert.NotAfter.Before(anchor.NotAfter)",
		"",
	},
	{
		"leaves the next period's certificate off the revocation list",
		"internal/pki/derive.go", "TestSerialsOfNamesEveryLiveCertificate",
		"period <= endedPeriod+1",
		"period <= endedPeriod",
	},
	{
		"begins certificates by one machine's clock",
		"internal/pki/leaf.go", "TestIssue",
		"template.NotBefore, template.NotAfter = parent.NotBefore,",
		"template.NotBefore, template.NotAfter = now,",
	},
	{
		"takes one key for the authority of both ports",
		"internal/pki/authority.go", "TestDecodeAuthorityNamesTheBrokenKey",
		"if samePublicKey(p.PublicKey, c.PublicKey) {",
		"if false && samePublicKey(p.PublicKey, c.PublicKey) {",
	},

	// The machine.
	{
		"replaces a file before all are on the disk",
		"internal/host/files.go", "TestWhatIsWrittenOutlastsAPowerCut",
		"return p.Sync()",
		"return nil",
	},
	{
		"leaves a file's name to the next power cut",
		"internal/host/files.go", "TestWhatIsWrittenOutlastsAPowerCut",
		"if err := d.Sync(); err != nil {",
		"if err := error(nil); err != nil {",
	},
	{
		"deletes data that has to go",
		"internal/host/data.go", "TestMoveAside",
		"os.Rename(h.data(), aside)",
		"os.RemoveAll(h.data())",
	},
	{
		"takes a database without its log for an empty disk",
		"internal/host/data.go", "TestLookData",
		"if err != nil || !empty {",
		"if err != nil || !empty && false {",
	},
	{
		"lets everybody read private keys",
		"internal/host/manifest.go", "TestOthersReadNoKey",
		"item{h.tls(keyFile(name)), secret, whose}",
		"item{h.tls(keyFile(name)), public, whose}",
	},
	{
		"starts etcd without its revocation list",
		"internal/host/member.go", "TestPortsReadTheirOwnFiles",
		`"ETCD_CLIENT_CRL_FILE=" + p.tls(revokedFile),`,
		"",
	},
	{
		"renews no certificate where a list cannot be written",
		"internal/host/tls.go", "TestPartsOfAStepStandAlone",
		"failed = append(failed, h.writeRevoked(authority, *s.Revoked))",
		"if err := h.writeRevoked(authority, *s.Revoked); err != nil {\n\t\t\treturn err\n\t\t}",
	},
	{
		"does not see that authentication is on",
		"internal/host/cluster.go", "TestAuthenticationSwitchedOn",
		"out.Auth = own && authEnabled(ctx, conn)",
		"out.Auth = own && false",
	},
	{
		"forgets a certificate that it has issued",
		"internal/host/tls.go", "TestIssuedIsRemembered",
		"if err := h.noteIssued(issuedOf(name, info)); err != nil {",
		"if err := error(nil); err != nil {",
	},
	{
		"keeps a removed unit's keys until its service has ended",
		"internal/host/uninstall.go", "TestUninstallTakesTheKeysFirst",
		"keys := os.RemoveAll(filepath.Clean(h.tls(\"\")))",
		"keys := error(nil)",
	},
	{
		"takes any file of the right size for the installed copy",
		"internal/host/release.go", "TestCopiesAreCompared",
		"if same, err := sameContent(h.carried, path); err != nil || !same {",
		"if same, err := sameContent(h.carried, path); err != nil || !same && false {",
	},
	{
		"promotes a learner that has not caught up",
		"internal/host/membership.go", "TestPromotedOnceCaughtUp",
		"if said.RaftAppliedIndex+promotionLag < ahead.RaftIndex {",
		"if ahead == nil {",
	},
	{
		"takes the turn from somebody who was quicker",
		"internal/host/turn.go", "TestTurnIsTakenByOne",
		`clientv3.Compare(clientv3.CreateRevision(turnKey), "=", 0)`,
		`clientv3.Compare(clientv3.CreateRevision(turnKey), ">", -1)`,
	},

	// The second life of data.
	{
		"recovers what the member knows to be agreed, and not its whole log",
		"internal/secondlife/recover.go", "TestRaise",
		"state.Commit = proto.Uint64(index)",
		"_ = index",
	},
	{
		"does not begin beyond what others have seen",
		"internal/secondlife/restore.go", "TestJump",
		"return max(0, seen-revision) + Jump, nil",
		"return Jump, nil",
	},
	{
		"leaves authentication on for consumers that have no users",
		"internal/secondlife/restore.go", "TestRestoreWithAuthentication",
		"if auth.Enabled {",
		"if auth.Enabled && false {",
	},
	{
		"restores what a later etcd wrote",
		"internal/secondlife/find.go", "TestOtherVersions",
		"semver.Compare(have, ours) > 0",
		"semver.Compare(have, ours) > 9",
	},
	{
		"leaves half made data behind",
		"internal/secondlife/unit.go", "TestRefused",
		"func (m making) end() error { return os.RemoveAll(m.dir) }",
		"func (m making) end() error { return nil }",
	},
	{
		"takes a log for whole that its database is ahead of",
		"internal/datadir/state.go", "TestState",
		`if log.Damage == "" && db.Index > log.Index {`,
		`if log.Damage == "" && db.Index > log.Index && false {`,
	},

	// The proxy, and the bags that others read.
	{
		"serves a web page",
		"internal/proxy/page.go", "TestForbidden",
		`if _, ok := r.Header["Origin"]; ok {`,
		`if _, ok := r.Header["Origin"]; ok && false {`,
	},
}
