package conformance

import (
	"strings"

	"github.com/juju/juju/core/life"
	"github.com/juju/juju/core/relation"
	"github.com/juju/juju/rpc/params"
	"github.com/juju/juju/worker/uniter/runner/jujuc"
	"github.com/juju/names/v5"
)

// hookRelation is one relation as the simulator knows it.
type hookRelation struct {
	c   *hookContext
	id  int
	key string
}

func (r *hookRelation) Id() int                        { return r.id } //nolint:revive // the interface is Juju's
func (r *hookRelation) Name() string                   { return r.key[:strings.LastIndex(r.key, ":")] }
func (r *hookRelation) FakeId() string                 { return r.key } //nolint:revive // the interface is Juju's
func (r *hookRelation) RelationTag() names.RelationTag { return names.RelationTag{} }
func (*hookRelation) Suspended() bool                  { return false }
func (*hookRelation) SetStatus(relation.Status) error  { return jujuc.ErrRestrictedContext }
func (r *hookRelation) RemoteModelUUID() string        { return r.c.env["JUJU_MODEL_UUID"] }
func (*hookRelation) Life() life.Value                 { return life.Alive }

func (r *hookRelation) UnitNames() []string {
	units, err := answer[[]string](r.c, "relation-list", "-r", r.key)
	if err != nil {
		return nil
	}
	return units
}

func (r *hookRelation) RemoteApplicationName() string {
	app, err := answer[string](r.c, "relation-list", "-r", r.key, "--app")
	if err != nil {
		return ""
	}
	return app
}

func (r *hookRelation) ReadSettings(unit string) (params.Settings, error) {
	return answer[params.Settings](r.c, "relation-get", "-r", r.key, "-", unit)
}

func (r *hookRelation) ReadApplicationSettings(app string) (params.Settings, error) {
	return answer[params.Settings](r.c, "relation-get", "-r", r.key, "--app", "-", app)
}

func (r *hookRelation) Settings() (jujuc.Settings, error) {
	values, err := r.ReadSettings(r.c.UnitName())
	return r.settings(r.c.UnitName(), values), err
}

func (r *hookRelation) ApplicationSettings() (jujuc.Settings, error) {
	values, err := r.ReadApplicationSettings(r.c.appName())
	return r.settings(r.c.appName(), values), err
}

func (r *hookRelation) settings(owner string, values params.Settings) *bag {
	at := r.key + " " + owner
	if r.c.bags[at] == nil {
		r.c.bags[at] = map[string]*string{}
	}
	return &bag{values, r.c.bags[at]}
}

// bag is a databag; its writes are recorded.
type bag struct {
	values params.Settings
	writes map[string]*string
}

func (b *bag) Map() params.Settings  { return b.values }
func (b *bag) Set(key, value string) { b.writes[key] = &value }
func (b *bag) Delete(key string)     { b.writes[key] = nil }
