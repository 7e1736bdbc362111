// Package model keeps Juju's rules in memory: applications, units, relations, databags, leadership,
// secrets, and the order of hooks.
//
// The rule it keeps: a hook sees what Juju would show it, and what a hook writes is kept only where
// Juju would keep it. It runs nothing itself: a Runner carries out each hook and calls the tools of
// the hook's Context. With the same calls in the same order the model does the same.
package model

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/juju/charm/v12"
)

// Charm is what the model needs of a charm; charm.CharmDir and
// charm.CharmArchive have it.
type Charm interface {
	Meta() *charm.Meta
	Config() *charm.Config
	Actions() *charm.Actions
}

// Life is the life of an application, unit or relation.
type Life string

// The lives Juju knows.
const (
	Alive Life = "alive"
	Dying Life = "dying"
	Dead  Life = "dead"
)

// Options configure a model. The zero value is a usable model of the newest
// Juju.
type Options struct {
	// Series is the Juju series: "2.9", "3.6" or "4.0"; empty is the newest.
	Series string
	// Name is the name of the model; empty means "sim".
	Name string
	// Now is the clock of timestamps; nil means time.Now.
	Now func() time.Time
	// Address gives the one address of a machine; nil means 10.0.0.0/16 counted up.
	Address func(machine int) string
	// Ingress gives the address at which others reach a machine through a binding, from the
	// machine's own: a floating one. nil means the machine's own.
	Ingress func(address, binding string) string
	// Seed, if not zero, makes Settle choose the next unit at random, the same
	// way for the same seed. Zero means each unit in turn.
	Seed uint64
	// OnRecord, if not nil, is called after each hook, without locks held.
	OnRecord func(Record)
}

// Model is one Juju model. Its methods may be called from several goroutines.
type Model struct {
	Rules Rules

	opts Options
	uuid string

	mu        sync.Mutex
	apps      map[string]*application
	units     map[string]*unit
	relations map[int]*relation
	machines  []*machine
	secrets   map[string]*secret
	contexts  map[string]*Context
	log       []LogLine
	records   []Record
	nextRel   int
	nextCtx   int
	secretSeq int
	nextTask  int
	turn      int
	moved     int // machines that got a new address
	rand      *rand.Rand
	crash     *Crash
}

type application struct {
	release
	uploads  []release // every charm it was given, by revision
	name     string
	life     Life
	settings charm.Settings
	nextUnit int
	units    []*unit     // by number, including the dead
	rels     []*relation // by id
	leader   string
	version  string
	status   *StatusInfo
	// leaderSettings is what leader-set wrote (Juju up to 3.x).
	leaderSettings map[string]string
}

type machine struct {
	id      int
	address string
	zone    string // availability zone; "" is none
	on      bool
	busy    bool
	reboots int
}

type unit struct {
	release // the one it has
	name    string
	app     *application
	number  int
	machine *machine
	life    Life

	installed, started, stopped bool
	leaderRun                   bool
	rebooted                    bool
	behind                      bool // it takes no new charm until Follow
	configPending               int
	updatePending               bool
	current                     *Hook
	running                     bool
	failed                      bool
	attempts                    int

	workload StatusInfo
	ports    map[string]bool
	state    map[string]string
	rels     map[int]*unitRelation
	// Relations that Juju has deleted and the agent still lists, as "endpoint:id".
	ghosts map[int]string
}

// unitRelation is what a unit's agent remembers of a relation.
type unitRelation struct {
	created, broken bool
	members         map[string]int
	appVersion      int
	changedPending  string
	// cache holds remote settings as this unit saw them last; they stay until a joined or changed
	// hook makes Juju read them again.
	cache map[string]map[string]string
}

// StatusInfo is a status with its message and the time it was set.
type StatusInfo struct {
	Current string    `json:"current" yaml:"current"`
	Message string    `json:"message,omitempty" yaml:"message,omitempty"`
	Since   time.Time `json:"since" yaml:"since"`
}

// New returns an empty model.
func New(opts Options) (*Model, error) {
	rules, err := RulesFor(opts.Series)
	if err != nil {
		return nil, err
	}
	if opts.Name == "" {
		opts.Name = "sim"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Address == nil {
		opts.Address = func(n int) string { return fmt.Sprintf("10.0.%d.%d", n/200, n%200+10) }
	}
	sum := sha256.Sum256([]byte("model " + opts.Name))
	m := &Model{
		Rules: rules,
		opts:  opts,
		uuid: fmt.Sprintf("%x-%x-4%x%02x-8%x%02x-%x",
			sum[:4], sum[4:6], sum[6]&0xf, sum[7], sum[8]&0xf, sum[9], sum[10:16]),
		apps:      map[string]*application{},
		units:     map[string]*unit{},
		relations: map[int]*relation{},
		secrets:   map[string]*secret{},
		contexts:  map[string]*Context{},
	}
	if opts.Seed != 0 {
		m.rand = rand.New(rand.NewPCG(opts.Seed, opts.Seed))
	}
	return m, nil
}

// Name returns the name of the model.
func (m *Model) Name() string { return m.opts.Name }

// UUID returns the model's UUID; it depends on the name alone.
func (m *Model) UUID() string { return m.uuid }

func (m *Model) app(name string) (*application, error) {
	a, ok := m.apps[name]
	if !ok {
		return nil, fmt.Errorf("application %q not found", name)
	}
	return a, nil
}

func (m *Model) unit(name string) (*unit, error) {
	u, ok := m.units[name]
	if !ok || u.life == Dead {
		return nil, fmt.Errorf("unit %q not found", name)
	}
	return u, nil
}

// unitsOf returns the units of an application that are not dead, by number.
func unitsOf(a *application) []*unit {
	return slices.DeleteFunc(slices.Clone(a.units), func(u *unit) bool { return u.life == Dead })
}

// sortedUnits returns all units that are not dead, by application and number.
func (m *Model) sortedUnits() []*unit {
	us := make([]*unit, 0, len(m.units))
	for _, u := range m.units {
		if u.life != Dead {
			us = append(us, u)
		}
	}
	slices.SortFunc(us, func(a, b *unit) int {
		return cmp.Or(strings.Compare(a.app.name, b.app.name), a.number-b.number)
	})
	return us
}

// appOf returns the application part of a unit name.
func appOf(unit string) string {
	app, _, _ := strings.Cut(unit, "/")
	return app
}

func compareUnitNames(a, b string) int {
	aa, an, _ := strings.Cut(a, "/")
	ba, bn, _ := strings.Cut(b, "/")
	x, _ := strconv.Atoi(an)
	y, _ := strconv.Atoi(bn)
	return cmp.Or(strings.Compare(aa, ba), x-y)
}
