package conformance

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/juju/charm/v12"
	"github.com/juju/errors"
	"github.com/juju/juju/core/application"
	"github.com/juju/juju/core/network"
	"github.com/juju/juju/core/secrets"
	"github.com/juju/juju/rpc/params"
	"github.com/juju/juju/worker/uniter/runner/jujuc"
	"github.com/juju/loggo"
	"github.com/juju/names/v5"
)

// hookContext is what Juju's commands see of one hook: they read what the simulator knows, and
// their writes are recorded.
type hookContext struct {
	jujuc.RestrictedContext
	env   map[string]string                                 // of the hook
	ask   func(tool string, args ...string) ([]byte, error) // the simulator, for the same hook
	meta  *charm.Meta
	ports []string // open as the hook began
	added string   // the URI that the simulator gave a new secret

	// What the command wrote; nil values are deletions.
	bags    map[string]map[string]*string // by "proxy:3 etcd/0"
	state   map[string]*string
	opened  map[string]bool
	status  *jujuc.StatusInfo
	content map[string]string // of a secret
	label   string
}

// answer asks the simulator and decodes.
func answer[T any](c *hookContext, tool string, args ...string) (T, error) {
	var v T
	text, err := c.ask(tool, append([]string{"--format", "json"}, args...)...)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return v, fmt.Errorf("cannot decode the simulator's %s: %w", tool, err)
	}
	return v, nil
}

func (c *hookContext) UnitName() string                 { return c.env["JUJU_UNIT_NAME"] }
func (c *hookContext) appName() string                  { return strings.Split(c.UnitName(), "/")[0] }
func (*hookContext) GetLogger(name string) loggo.Logger { return loggo.GetLogger(name) }
func (c *hookContext) IsLeader() (bool, error)          { return answer[bool](c, "is-leader") }

func (c *hookContext) ConfigSettings() (charm.Settings, error) {
	return answer[charm.Settings](c, "config-get", "--all")
}

func (c *hookContext) GoalState() (*application.GoalState, error) {
	type entries map[string]struct{ Status, Since string }
	said, err := answer[struct {
		Units     entries
		Relations map[string]entries
	}](c, "goal-state")
	if err != nil {
		return nil, err
	}
	state := func(from entries) application.UnitsGoalState {
		out := application.UnitsGoalState{}
		for name, e := range from {
			since, err := time.Parse("2006-01-02 15:04:05Z", e.Since)
			if err != nil {
				since = time.Time{}
			}
			out[name] = application.GoalStateStatus{Status: e.Status, Since: &since}
		}
		return out
	}
	out := &application.GoalState{
		Units:     state(said.Units),
		Relations: map[string]application.UnitsGoalState{},
	}
	for endpoint, from := range said.Relations {
		out.Relations[endpoint] = state(from)
	}
	return out, nil
}

func (c *hookContext) GetCharmState() (map[string]string, error) {
	return answer[map[string]string](c, "state-get")
}

func (c *hookContext) GetCharmStateValue(key string) (string, error) {
	all, err := c.GetCharmState()
	if err != nil {
		return "", err
	}
	value, ok := all[key]
	if !ok {
		return "", errors.NotFoundf("%q", key)
	}
	return value, nil
}

func (c *hookContext) SetCharmStateValue(key, value string) error {
	c.state[key] = &value
	return nil
}

func (c *hookContext) DeleteCharmStateValue(key string) error {
	c.state[key] = nil
	return nil
}

func (c *hookContext) UnitStatus() (*jujuc.StatusInfo, error) {
	said, err := answer[struct{ Status, Message string }](c, "status-get", "--include-data")
	return &jujuc.StatusInfo{Status: said.Status, Info: said.Message}, err
}

func (c *hookContext) SetUnitStatus(s jujuc.StatusInfo) error {
	c.status = &s
	return nil
}

func (*hookContext) SetUnitWorkloadVersion(string) error { return nil }

func (c *hookContext) OpenPortRange(_ string, p network.PortRange) error {
	c.opened[p.String()] = true
	return nil
}

func (c *hookContext) ClosePortRange(_ string, p network.PortRange) error {
	c.opened[p.String()] = false
	return nil
}

// OpenedPortRanges is what was open when the hook began: Juju does not show what the hook itself
// asked for.
func (c *hookContext) OpenedPortRanges() network.GroupedPortRanges {
	out := network.GroupedPortRanges{}
	for _, p := range c.ports {
		out[""] = append(out[""], network.MustParsePortRange(p))
	}
	return out
}

func (c *hookContext) NetworkInfo(
	bindings []string, id int,
) (map[string]params.NetworkInfoResult, error) {
	out := map[string]params.NetworkInfoResult{}
	for _, b := range bindings {
		args := []string{b}
		if id >= 0 {
			args = append(args, "-r", strconv.Itoa(id))
		}
		said, err := answer[params.NetworkInfoResult](c, "network-get", args...)
		if err != nil {
			return nil, err
		}
		out[b] = said
	}
	return out, nil
}

func (c *hookContext) ActionParams() (map[string]interface{}, error) {
	return answer[map[string]interface{}](c, "action-get")
}

func (c *hookContext) UpdateActionResults([]string, interface{}) error { return c.inAction() }
func (c *hookContext) SetActionMessage(string) error                   { return c.inAction() }
func (c *hookContext) SetActionFailed() error                          { return c.inAction() }
func (c *hookContext) LogActionMessage(string) error                   { return c.inAction() }

func (c *hookContext) inAction() error {
	if c.env["JUJU_ACTION_UUID"] == "" {
		return errors.New("not running an action")
	}
	return nil
}

func (c *hookContext) GetSecret(
	uri *secrets.URI, label string, refresh, peek bool,
) (secrets.SecretValue, error) {
	var args []string
	if uri != nil {
		args = append(args, uri.String())
	}
	if label != "" {
		args = append(args, "--label", label)
	}
	if refresh {
		args = append(args, "--refresh")
	}
	if peek {
		args = append(args, "--peek")
	}
	content, err := answer[map[string]string](c, "secret-get", args...)
	if err != nil {
		return nil, err
	}
	for key, value := range content {
		content[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	return secrets.NewSecretValue(content), nil
}

func (c *hookContext) CreateSecret(args *jujuc.SecretCreateArgs) (*secrets.URI, error) {
	if err := c.UpdateSecret(nil, &args.SecretUpdateArgs); err != nil {
		return nil, err
	}
	return secrets.ParseURI(c.added)
}

func (c *hookContext) UpdateSecret(_ *secrets.URI, args *jujuc.SecretUpdateArgs) error {
	if args.Label != nil {
		c.label = *args.Label
	}
	if args.Value == nil {
		return nil
	}
	var err error
	c.content, err = args.Value.Values()
	return err
}

func (c *hookContext) SecretMetadata() (map[string]jujuc.SecretMetadata, error) {
	ids, err := answer[[]string](c, "secret-ids")
	if err != nil {
		return nil, err
	}
	out := map[string]jujuc.SecretMetadata{}
	for _, id := range ids {
		said, err := answer[map[string]struct {
			Revision           int
			Label, Description string
			Owner, Rotation    string
		}](c, "secret-info-get", id)
		if err != nil {
			return nil, err
		}
		for id, s := range said {
			owner := names.Tag(names.NewUnitTag(c.UnitName()))
			if s.Owner == "application" {
				owner = names.NewApplicationTag(c.appName())
			}
			out[id] = jujuc.SecretMetadata{
				Owner: owner, Label: s.Label, Description: s.Description,
				LatestRevision: s.Revision, RotatePolicy: secrets.RotatePolicy(s.Rotation),
			}
		}
	}
	return out, nil
}

// listed are the relations that the hook sees in lists, as "proxy:3", by number.
func (c *hookContext) listed() (map[int]string, error) {
	out := map[int]string{}
	for endpoint := range c.meta.CombinedRelations() {
		keys, err := answer[[]string](c, "relation-ids", endpoint)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			id, err := number(key)
			if err != nil {
				return nil, err
			}
			out[id] = key
		}
	}
	return out, nil
}

// relationKeys are those that the hook can ask about: a relation that ends is not listed in its own
// hook, but can still be read.
func (c *hookContext) relationKeys() (map[int]string, error) {
	out, err := c.listed()
	if err != nil {
		return nil, err
	}
	if key := c.env["JUJU_RELATION_ID"]; key != "" {
		id, err := number(key)
		if err != nil {
			return nil, err
		}
		out[id] = key
	}
	return out, nil
}

func number(key string) (int, error) { return strconv.Atoi(key[strings.LastIndex(key, ":")+1:]) }

func (c *hookContext) RelationIds() ([]int, error) {
	keys, err := c.listed()
	return slices.Sorted(maps.Keys(keys)), err
}

func (c *hookContext) Relation(id int) (jujuc.ContextRelation, error) {
	keys, err := c.relationKeys()
	if err != nil {
		return nil, err
	}
	if keys[id] == "" {
		return nil, errors.NotFoundf("relation")
	}
	return &hookRelation{c, id, keys[id]}, nil
}

func (c *hookContext) HookRelation() (jujuc.ContextRelation, error) {
	key := c.env["JUJU_RELATION_ID"]
	if key == "" {
		return nil, errors.NotFoundf("relation")
	}
	id, err := number(key)
	return &hookRelation{c, id, key}, err
}

func (c *hookContext) named(what, variable string) (string, error) {
	if c.env[variable] == "" {
		return "", errors.NotFoundf(what)
	}
	return c.env[variable], nil
}

func (c *hookContext) RemoteUnitName() (string, error) {
	return c.named("remote unit", "JUJU_REMOTE_UNIT")
}

func (c *hookContext) RemoteApplicationName() (string, error) {
	return c.named("remote application", "JUJU_REMOTE_APP")
}
