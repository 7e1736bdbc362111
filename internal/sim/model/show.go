package model

import (
	"fmt"
	"maps"

	"github.com/juju/charm/v12"
)

// UnitView is what show-unit prints of a unit, with Juju's names.
type UnitView struct {
	Version   string         `json:"workload-version,omitempty"`
	Machine   string         `json:"machine"`
	Ports     []string       `json:"opened-ports"`
	Address   string         `json:"public-address"`
	Charm     string         `json:"charm"`
	Leader    bool           `json:"leader"`
	Life      Life           `json:"life"`
	Relations []RelationView `json:"relation-info,omitempty"`
}

// RelationView is a relation as one of its units sees it.
type RelationView struct {
	ID       int                `json:"relation-id"`
	Endpoint string             `json:"endpoint"`
	Related  string             `json:"related-endpoint"`
	AppData  map[string]string  `json:"application-data"`
	Local    *BagView           `json:"local-unit,omitempty"`
	Units    map[string]BagView `json:"related-units,omitempty"`
}

// BagView is the bag of a unit.
type BagView struct {
	InScope bool              `json:"in-scope"`
	Data    map[string]string `json:"data"`
}

// UnitView returns what is committed of a unit and of its relations. As in Juju, the application's
// data is that of the other side; a peer relation has only one side.
func (m *Model) UnitView(name string) (UnitView, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := m.unit(name)
	if err != nil {
		return UnitView{}, err
	}
	s := m.unitStatus(u)
	v := UnitView{u.app.version, s.Machine, s.Ports, s.Address, u.url(), s.Leader, u.life, nil}
	for _, rel := range u.app.rels {
		near, _ := rel.side(u.app.name)
		far := rel.remote(u.app.name)
		r := RelationView{
			ID: rel.id, Endpoint: near.Name, Related: far.Name,
			AppData: maps.Clone(rel.bags[far.app.name].values), Units: map[string]BagView{},
		}
		if b := rel.bags[u.name]; b != nil {
			r.Local = &BagView{rel.scope[u.name], maps.Clone(b.values)}
		}
		for _, other := range unitsOf(far.app) {
			if b := rel.bags[other.name]; b != nil && other != u {
				r.Units[other.name] = BagView{rel.scope[other.name], maps.Clone(b.values)}
			}
		}
		v.Relations = append(v.Relations, r)
	}
	return v, nil
}

// Setting is an application's option and its value, with Juju's names.
type Setting struct {
	Default     any    `json:"default,omitempty"`
	Description string `json:"description"`
	Source      string `json:"source"`
	Type        string `json:"type"`
	Value       any    `json:"value,omitempty"`
}

// Settings returns every option of an application, and the name of its charm.
func (m *Model) Settings(app string) (map[string]Setting, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.app(app)
	if err != nil {
		return nil, "", err
	}
	all := map[string]Setting{}
	for name, option := range a.charm.Config().Options {
		s := Setting{
			Default: option.Default, Description: option.Description,
			Source: "default", Type: option.Type, Value: option.Default,
		}
		switch value := a.settings[name]; {
		case value != nil:
			s.Source, s.Value = "user", value
		case option.Default == nil:
			s.Source = "unset"
		}
		all[name] = s
	}
	return all, a.charm.Meta().Name, nil
}

// ActionSpecs returns the actions of an application's charm.
func (m *Model) ActionSpecs(app string) (map[string]charm.ActionSpec, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.app(app)
	if err != nil {
		return nil, err
	}
	return maps.Clone(a.charm.Actions().ActionSpecs), nil
}

// SecretInfo is a secret without its content, with Juju's names.
type SecretInfo struct {
	Revision    int    `json:"revision"`
	Owner       string `json:"owner"`
	Description string `json:"description,omitempty"`
	Label       string `json:"label,omitempty"`
}

// Secrets returns every secret by its ID.
func (m *Model) Secrets() map[string]SecretInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]SecretInfo{}
	for id, s := range m.secrets {
		all[id] = SecretInfo{s.latest(), s.owner, s.description, s.label}
	}
	return all
}

// SecretContent returns a secret's newest content that still exists.
func (m *Model) SecretContent(id string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.secrets[id]
	if s == nil || s.removed[s.latest()] {
		return nil, fmt.Errorf("secret %q not found", id)
	}
	return maps.Clone(s.revisions[s.latest()-1]), nil
}

// RemoveSecret removes a secret, or one of its revisions if revision is not 0. Units get no hook
// for it, and find out when they read the secret. Juju lets users remove only users' secrets; here
// it is the way to lose a charm's secret.
func (m *Model) RemoveSecret(id string, revision int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.secrets[id]
	switch {
	case s == nil:
		return fmt.Errorf("secret %q not found", id)
	case revision == 0:
		delete(m.secrets, id)
	case revision < 1 || revision > s.latest() || s.removed[revision]:
		return fmt.Errorf("secret %q has no revision %d", id, revision)
	default:
		s.removed[revision] = true
		if len(s.removed) == s.latest() {
			delete(m.secrets, id)
		}
	}
	return nil
}
