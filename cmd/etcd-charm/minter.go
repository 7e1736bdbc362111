package main

import (
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/credentials"
	"github.com/juju-charms/etcd-charm/internal/host"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// minter makes and reads what holds keys.
type minter struct {
	machine unitMachine
	app     string
}

func newMinter(m unitMachine, unit string) minter {
	app, _, _ := strings.Cut(unit, "/")
	return minter{m, app}
}

func (m minter) New() (operator.Authority, error) { return m.machine.NewAuthority(m.app) }

func (minter) Describe(content map[string]string) (operator.Authority, error) {
	return host.ReadAuthority(content)
}

func (minter) Client(a operator.Authority, modelUUID, relationID string, period int64) (credentials.Credentials, error) {
	return host.ConsumerCredentials(a, modelUUID, relationID, period)
}
