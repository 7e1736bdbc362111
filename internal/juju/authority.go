package juju

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
	"github.com/juju-charms/etcd-charm/interfaces/etcdcluster"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// authorityLabel is the label of the application's secret that holds the certificate authorities. The application's own
// units, leader or not, find it by this label.
const authorityLabel = "etcd-authority"

// authority reads the certificate authorities from the secret, or, where Juju keeps no secrets, from the peer
// application bag. An application that was upgraded from such a Juju has them in its bag still.
func (o *observer) authority(ctx context.Context, app databag.Bag) {
	content := etcdcluster.DecodeAuthority(app)
	if content == nil && app == nil && !o.env.Secrets {
		o.model.Authority = operator.Unknown[*operator.Authority](o.model.Cluster.Why)
		return
	}
	if content == nil {
		var why error
		if content, why = o.secret(ctx); why != nil {
			o.model.Authority = o.missing(ctx, why)
			return
		}
	}
	authority, err := o.minter.Describe(content)
	if err != nil {
		o.model.Authority = operator.Unknown[*operator.Authority]("cannot use the certificate authorities: " + err.Error())
		return
	}
	o.model.Authority = operator.Know(&authority)
}

// errNoAuthority says that the peer application bag holds no authorities where they would have to be.
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

// missing decides what it means that no authorities could be read. Only the leader can know that there are none: the
// record names none, and no secret of the application bears the label. A secret-get that failed is no answer by itself,
// for Juju's words for "not found" differ between versions.
func (o *observer) missing(ctx context.Context, why error) operator.Known[*operator.Authority] {
	unknown := operator.Unknown[*operator.Authority]
	switch leader := o.model.Leader; {
	case !leader.OK:
		return unknown(why.Error())
	case !leader.Value:
		return unknown("waiting for the leader to make them: " + why.Error())
	case !o.model.Cluster.OK:
		return unknown(o.model.Cluster.Why)
	case o.model.Cluster.Value.Record.Authority != "":
		return unknown("the certificate authorities that the peer relation speaks of cannot be read: " + why.Error())
	}
	if !o.env.Secrets {
		return operator.Know[*operator.Authority](nil)
	}
	ids := read[[]string](ctx, o, "secret-ids")
	if !ids.OK {
		return unknown(ids.Why)
	}
	for _, id := range ids.Value {
		info := read[map[string]struct {
			Label *string `json:"label"`
		}](ctx, o, "secret-info-get", id)
		if !info.OK {
			return unknown(info.Why)
		}
		if len(info.Value) == 0 {
			return unknown("secret-info-get answered nothing")
		}
		for _, secret := range info.Value {
			if secret.Label != nil && *secret.Label == authorityLabel {
				return unknown("the secret with the certificate authorities is there and cannot be read: " + why.Error())
			}
		}
	}
	return operator.Know[*operator.Authority](nil)
}

// addAuthority stores new authorities in a secret of the application. The keys go by files that have no name, since an
// argument can be read by everybody and a charm that dies here must leave none behind: the agent, which is root, opens
// them by way of our process.
func addAuthority(ctx context.Context, tools Tools, a operator.Authority) error {
	args := []string{"--owner", "application", "--label", authorityLabel}
	for _, key := range slices.Sorted(maps.Keys(a.Content)) {
		file, err := unnamed(a.Content[key])
		if err != nil {
			return fmt.Errorf("cannot store the certificate authorities: %w", err)
		}
		defer func() { _ = file.Close() }() // nothing of it is wanted any more
		args = append(args, fmt.Sprintf("%s#file=/proc/%d/fd/%d", key, os.Getpid(), file.Fd()))
	}
	if _, err := tools.Run(ctx, nil, "secret-add", args...); err != nil {
		return fmt.Errorf("cannot store the certificate authorities: %w", err)
	}
	return nil
}

// unnamed returns an open file, in memory where there is such a place, that holds text, that we alone may read, and that
// is gone when it is closed. It has lost its name before it is given its content.
func unnamed(text string) (*os.File, error) {
	file, err := os.CreateTemp("/dev/shm", "etcd-charm-")
	if err != nil {
		file, err = os.CreateTemp("", "etcd-charm-")
	}
	if err != nil {
		return nil, err
	}
	if err = os.Remove(file.Name()); err == nil {
		_, err = file.WriteString(text)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
