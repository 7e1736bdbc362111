package etcdproxy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/databag"
)

// Encode renders the data as a provider unit's bag. The order of the data does not matter: every
// unit gets the same bag. It fails, and nothing should be published, if there is no member, if
// ParseCluster could not read back a name, a URL or the version, if only a part of the credentials
// is there, or if they do not belong together. No value in the bag is ever empty. Expiry is not
// checked.
func Encode(d Data) (databag.Bag, error) {
	if len(d.Members) == 0 {
		return nil, errors.New("cannot encode cluster: it has no members")
	}
	bag := databag.Bag{KeySchema: Schema, KeyCluster: d.Cluster()}
	// Reading back also finds a comma or "=" inside a name.
	members, err := parseCluster(bag[KeyCluster])
	if err != nil {
		return nil, fmt.Errorf("cannot encode cluster: %w", err)
	}
	if !slices.EqualFunc(members, sortMembers(d.Members), func(a, b Member) bool {
		return a.Name == b.Name && a.PeerURL == b.PeerURL
	}) {
		return nil, errors.New("cannot encode cluster: a name or URL contains a separator")
	}
	if urls := d.allClientURLs(); len(urls) > 0 {
		bag[KeyClientURLs] = strings.Join(urls, ",")
		if read, err := parseURLs(bag[KeyClientURLs]); err != nil {
			return nil, fmt.Errorf("cannot encode client URLs: %w", err)
		} else if !slices.Equal(read, urls) {
			return nil, errors.New("cannot encode client URLs: one contains a separator")
		}
	}
	if d.Version != "" {
		if err := checkVersion(d.Version); err != nil {
			return nil, fmt.Errorf("cannot encode version: %w", err)
		}
		bag[KeyVersion] = d.Version
	}
	if !d.Credentials.IsZero() {
		if err := d.Credentials.Into(bag); err != nil {
			return nil, err
		}
	}
	return bag, nil
}

// allClientURLs is ClientURLs and the members' own, sorted, each once.
func (d Data) allClientURLs() []string {
	urls := slices.Clone(d.ClientURLs)
	for _, member := range d.Members {
		if member.ClientURL != "" {
			urls = append(urls, member.ClientURL)
		}
	}
	slices.Sort(urls)
	return slices.Compact(urls)
}
