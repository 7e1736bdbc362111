package operator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/juju/charm/v12/hooks"
)

// Diagnose writes one archive of what is known about the unit: what the decisions see, and what is
// on the machine.
type Diagnose struct {
	Files  []TextFile
	Report string // for programs, as Report.JSON
	// The revision up to which all voters are asked for a hash of their data; 0: they are not
	// asked.
	Revision int64
}

// TextFile is a text with a name.
type TextFile struct{ Name, Text string }

func (Diagnose) step()            {}
func (s Diagnose) String() string { return "write a diagnosis" }

// Archive is the diagnosis that was written last. The zero value is none.
type Archive struct {
	Path  string
	Bytes int64
}

// largeToHash is the size in bytes from which a database is not hashed: the member would have to
// read all of it.
const largeToHash = 1 << 30

// WriteDiagnosis writes an archive for somebody who looks at the unit's problem elsewhere.
func WriteDiagnosis(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params); err != nil {
		return nil, Result{}, err
	}
	r := Examine(m, w)
	step := Diagnose{Report: r.JSON(), Revision: r.comparable()}
	text := r.Table()
	if r.Role != RoleProxy { // whose table has the addresses
		text += grid(r.addressRows())
	}
	step.Files = []TextFile{
		{"health.txt", text},
		{"health.json", step.Report + "\n"},
		{"unit.json", viewOf(m, w)},
	}
	finish := func(after World) Result {
		a := after.Kept.Diagnosis
		if a.Path == "" {
			return Result{Failed: because(workFailed, "diagnose", "nothing was written").String()}
		}
		text := fold("", fmt.Sprintf(
			"%s of texts about %s, without private keys and users' data; open its summary.html in a browser",
			size(a.Bytes), m.Unit), 0)
		// A command is not folded, so that it can be copied whole. It goes through ssh since juju
		// scp reads no file of root; with a terminal's pseudo-terminal, which Juju asks for, bytes
		// would change.
		text += fmt.Sprintf("juju ssh --pty=false %s sudo cat %s > %s\n",
			m.Unit, a.Path, path.Base(a.Path))
		return Result{Text: text, Values: map[string]any{
			"path": a.Path, "size": strconv.FormatInt(a.Bytes, 10),
		}}
	}
	return []Step{step}, Result{Finish: finish}, nil
}

// comparable is the revision at which all voters can be compared; 0 is none: a voter does not
// answer, or has too much to read.
func (r Report) comparable() int64 {
	var at int64
	for _, m := range r.Members {
		switch {
		case m.Learner:
			continue
		case !m.Answers, m.DBSize > largeToHash, m.Revision == 0:
			return 0
		case at == 0 || m.Revision < at:
			at = m.Revision
		}
	}
	return at
}

// unitView is what the decisions see of the unit, field by field, without anything that may hold a
// key.
type unitView struct {
	Unit      string                 `json:"unit"`
	App       string                 `json:"application"`
	Model     string                 `json:"model-uuid"`
	Zone      string                 `json:"zone,omitempty"`
	Leader    string                 `json:"leader"`
	Status    string                 `json:"status"`
	NextStep  string                 `json:"next-step,omitempty"`
	Units     map[string]Life        `json:"units"`
	Options   []string               `json:"options"`
	Unusable  string                 `json:"options-problem,omitempty"`
	Relations map[string][]string    `json:"relations"`
	Record    appBagView             `json:"record"`
	UnitBags  map[string]unitBagView `json:"unit-bags"`
	Service   map[string]string      `json:"service"`
	Work      []Work                 `json:"work"`
	Snapshots []Snapshot             `json:"snapshots"`
	Aside     []AsideDir             `json:"moved-aside"`
	Releases  map[string]string      `json:"releases"`
	Unknown   map[string]string      `json:"unknown"`
}

type appBagView struct {
	Schema    int      `json:"schema"`
	Cluster   string   `json:"cluster-id,omitempty"`
	Ended     string   `json:"ended,omitempty"`
	Replaced  []string `json:"replaced,omitempty"`
	Operation string   `json:"operation,omitempty"`
}

type unitBagView struct {
	PeerURL   string   `json:"peer-url,omitempty"`
	ClientURL string   `json:"client-url,omitempty"`
	Cluster   string   `json:"cluster-id,omitempty"`
	Member    string   `json:"member-id,omitempty"`
	Running   string   `json:"running,omitempty"`
	Server    string   `json:"server,omitempty"`
	Can       []string `json:"can,omitempty"`
	Stopped   bool     `json:"stopped,omitempty"`
}

// viewOf is the unitView as JSON. Its plan is what a hook would do next.
func viewOf(m Model, w World) string {
	v := unitView{
		Unit: m.Unit, App: m.App, Model: m.UUID, Zone: m.Zone,
		Leader: "unknown: " + m.Leader.Why, Units: m.Units.Value,
		Options: m.Config.text(), Unusable: m.ConfigProblem,
		Relations: map[string][]string{}, UnitBags: map[string]unitBagView{},
		Work: w.Work, Snapshots: w.Kept.Snapshots, Aside: w.Kept.Aside, Unknown: map[string]string{},
		Releases: map[string]string{
			"carried": w.Carried, "installed": w.Installed,
			"written": w.WrittenRelease, "runs": w.Service.Release,
		},
		Service: map[string]string{
			"kind": string(w.Service.Kind), "enabled": yesNo(w.Service.Enabled),
			"running": yesNo(w.Service.Running), "failing": yesNo(w.Service.Failing),
			"crashes": strconv.Itoa(w.Service.Crashes), "age": w.Service.Age.String(),
		},
	}
	plan := Decide(Event{Kind: hooks.UpdateStatus}, m, w)
	v.Status = string(plan.Status.Level) + ": " + plan.Status.Message
	if plan.Step != nil {
		v.NextStep = plan.Step.String()
	}
	if m.Leader.OK {
		v.Leader = yesNo(m.Leader.Value)
	}
	for what, why := range map[string]string{
		"units": m.Units.Why, "peers": m.Cluster.Why,
		"authorities": m.Authority.Why, "memory": m.Memory.Why,
	} {
		if why != "" {
			v.Unknown[what] = why
		}
	}
	for _, endpoint := range slices.Sorted(maps.Keys(m.Relations)) {
		for _, rel := range m.Relations[endpoint].Value {
			v.Relations[endpoint] = append(v.Relations[endpoint], rel.ID+" "+cmp.Or(rel.App, "-"))
		}
	}
	record := m.Cluster.Value.AppBag
	v.Record = appBagView{
		Schema: record.Schema, Cluster: idText(record.ClusterID), Ended: idText(record.Ended),
	}
	for _, id := range record.Replaced {
		v.Record.Replaced = append(v.Record.Replaced, idText(id))
	}
	if record.Operation.ID != "" {
		v.Record.Operation = record.Operation.ID + " " + record.Operation.Phase
	}
	for unit, unitBag := range m.Cluster.Value.UnitBags {
		v.UnitBags[unit] = unitBagView{
			unitBag.PeerURL, unitBag.ClientURL, idText(unitBag.ClusterID), idText(unitBag.MemberID),
			unitBag.Running, unitBag.Server, unitBag.Can, unitBag.Stopped,
		}
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "" // it is texts, numbers and lists of them
	}
	return string(text) + "\n"
}

// idText is an ID in hex; "" is none.
func idText(id uint64) string {
	if id == 0 {
		return ""
	}
	return hexID(id)
}
