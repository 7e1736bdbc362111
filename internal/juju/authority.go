package juju

import (
	"context"
	"errors"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/pki"
)

// authorityLabel is the label of the application's secret that holds the certificate authorities.
// All of the application's own units, not only the leader, find it by this label.
const authorityLabel = "etcd-authority"

// authority reads the certificate authorities from the secret or, where Juju has no secrets, from
// the peer application bag. An application that was upgraded from such a Juju still has them in its
// bag.
func (o *observer) authority(ctx context.Context, app databag.Bag) {
	content := etcdcluster.DecodeAuthority(app)
	if content == nil && app == nil && !o.env.Secrets {
		o.model.Authority = operator.Unknown[*pki.Authority](o.model.Cluster.Why)
		return
	}
	if content == nil {
		var why error
		if content, why = o.secret(ctx); why != nil {
			o.model.Authority = o.missing(ctx, why)
			return
		}
	}
	authority, err := pki.DecodeAuthority(content)
	if err != nil {
		o.model.Authority = operator.Unknown[*pki.Authority](
			"cannot use the certificate authorities: " + err.Error())
		return
	}
	o.model.Authority = operator.Know(authority)
}

// errNoAuthority means that the peer application bag lacks the authorities that it should hold.
var errNoAuthority = errors.New("the peer relation holds no certificate authorities")

func (o *observer) secret(ctx context.Context) (map[string]string, error) {
	if !o.env.Secrets {
		return nil, errNoAuthority
	}
	content := map[string]string{}
	if err := query(ctx, o.tools, &content, "secret-get", "--label", authorityLabel, "--refresh"); err != nil {
		return nil, err
	}
	if len(content) == 0 {
		return nil, errors.New("secret-get answered nothing")
	}
	return content, nil
}

// missing decides what it means that no authorities could be read. Only the leader can know that
// none exist: the record names none, and no secret of the application has the label. A secret-get
// that failed proves nothing by itself, because Juju's words for "not found" differ between
// versions.
func (o *observer) missing(ctx context.Context, why error) operator.Known[*pki.Authority] {
	unknown := operator.Unknown[*pki.Authority]
	switch leader := o.model.Leader; {
	case !leader.OK:
		return unknown(why.Error())
	case !leader.Value:
		return unknown("waiting for the leader to make them: " + why.Error())
	case !o.model.Cluster.OK:
		return unknown(o.model.Cluster.Why)
	case o.model.Cluster.Value.AppBag.Authority != "":
		return unknown(
			"the certificate authorities that the peer relation names cannot be read: " + why.Error())
	}
	if !o.env.Secrets {
		return operator.Know[*pki.Authority](nil)
	}
	switch id, err := findSecret(ctx, o.tools, authorityLabel); {
	case err != nil:
		return unknown(err.Error())
	case id != "":
		return unknown(
			"the secret with the certificate authorities exists but cannot be read: " + why.Error())
	}
	return operator.Know[*pki.Authority](nil)
}
