// Package etcd is the relation interface etcd: what an etcd charm publishes for an application that
// is itself a client of the cluster, such as Kubernetes, Calico, Flannel or Vault.
//
// The rule it keeps: all five settings or none. Every unit of the provider writes the same into its
// own bag, in one commit; the requirer writes nothing.
//
//	connection_string  https://10.0.0.5:2379,https://10.0.0.6:2379   client URLs, sorted, no spaces
//	version            3.7.3                                          etcd's; a reader takes none for 2.x
//	client_cert        PEM: certificate of a client of the cluster
//	client_key         PEM: its private key
//	client_ca          PEM: the authorities to check the servers with
//
// Existing readers: the reactive interface layer interface-etcd (juju-solutions on GitHub,
// requires.py) takes the first value of any unit that is not empty. The ops library of Charmed
// Kubernetes reads all settings of one arbitrary unit, again at each event, and some of its users
// split connection_string at ",". A missing setting makes them wait or render nonsense, and one
// that differs between units restarts them.
package etcd

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/credentials"
	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// The settings in a provider unit's bag.
const (
	KeyConnectionString = "connection_string"
	KeyVersion          = "version"
	KeyClientCert       = credentials.KeyCert
	KeyClientKey        = credentials.KeyKey
	KeyClientCA         = credentials.KeyCA
)

// Keys are all settings that a provider writes.
func Keys() []string {
	return []string{KeyConnectionString, KeyVersion, KeyClientCert, KeyClientKey, KeyClientCA}
}

// maxVersion is in bytes.
const maxVersion = 64

// Data is everything that a provider publishes. The zero value is nothing.
type Data struct {
	ClientURLs  []string // https URLs: scheme, host and port; sorted in what Decode returns
	Version     string   // etcd's, such as "3.7.3"
	Credentials credentials.Credentials
}

// Encode renders the data as a provider unit's bag, the same whatever the order of the data. It
// fails, and nothing should be published, if any of the five settings would be missing or could not
// be read back.
func Encode(d Data) (databag.Bag, error) {
	urls := slices.Sorted(slices.Values(d.ClientURLs))
	urls = slices.Compact(urls)
	if len(urls) == 0 {
		return nil, errors.New("cannot encode connection_string: there are no client URLs")
	}
	for i, u := range urls {
		if err := checkURL(u); err != nil {
			return nil, fmt.Errorf("cannot encode connection_string: URL %d %w", i+1, err)
		}
	}
	if err := checkVersion(d.Version); err != nil {
		return nil, fmt.Errorf("cannot encode version: it %w", err)
	}
	bag := databag.Bag{KeyConnectionString: strings.Join(urls, ","), KeyVersion: d.Version}
	if err := d.Credentials.Into(bag); err != nil {
		return nil, err
	}
	return bag, nil
}

// Decode reads what the provider's units have published. The first unit, in natural order, whose
// bag is whole and valid counts. ok is false if there is none; problem then says what is wrong with
// a bag that is not just empty, and repeats nothing of a value. now is in seconds since the Unix
// epoch.
func Decode(rel databag.Relation, now int64) (data Data, ok bool, problem error) {
	for unit, bag := range rel.All() {
		d, err := decodeBag(bag, now)
		if err == nil {
			return d, true, nil
		}
		if problem == nil && bag[KeyConnectionString] != "" {
			problem = fmt.Errorf("relation %s: unit %s: %w", rel.ID, unit, err)
		}
	}
	return Data{}, false, problem
}

func decodeBag(bag databag.Bag, now int64) (Data, error) {
	d := Data{Version: bag[KeyVersion], Credentials: credentials.In(bag).Canonical()}
	for i, u := range strings.Split(bag[KeyConnectionString], ",") {
		if err := checkURL(u); err != nil {
			return Data{}, fmt.Errorf("connection_string: URL %d %w", i+1, err)
		}
		d.ClientURLs = append(d.ClientURLs, u)
	}
	slices.Sort(d.ClientURLs)
	if err := checkVersion(d.Version); err != nil {
		return Data{}, fmt.Errorf("version %w", err)
	}
	if err := d.Credentials.Check(now); err != nil {
		return Data{}, err
	}
	return d, nil
}

// checkURL accepts scheme, host and port, and nothing at which an existing reader would split.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.ContainsAny(text, ", \t\n"):
		return errors.New("is not a URL")
	case u.Scheme != "https":
		return errors.New("is not https")
	case u.Hostname() == "" || u.Port() == "" || text != "https://"+u.Host:
		return errors.New("is not just scheme, host and port")
	}
	return nil
}

func checkVersion(version string) error {
	if version == "" || len(version) > maxVersion ||
		strings.Trim(version, "0123456789abcdefghijklmnopqrstuvwxyz.-+~") != "" {
		return errors.New("is not a version of etcd")
	}
	return nil
}
