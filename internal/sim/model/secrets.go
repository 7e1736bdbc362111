package model

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/juju/charm/v12/hooks"
)

// maxSecret is the limit of a secret's content in bytes, for each value and in total.
const maxSecret = 1 << 20

var secretKey = regexp.MustCompile(`^([a-z](?:-?[a-z0-9]){2,})$`)

// secret is an owner's secret with all its revisions; revision n is at n-1.
type secret struct {
	id, label, description string
	owner                  string
	revisions              []map[string]string
	removed                map[int]bool
	// grants are the applications and units that may read it, by relation.
	grants map[int]string
	// tracked is the revision each unit reads without --refresh; it is set at
	// once, not at the commit.
	tracked map[string]int
	// told is the latest revision for which each unit has had secret-changed.
	told map[string]int
	// labels are the consumers' own labels.
	labels map[string]string
}

func (s *secret) clone() *secret {
	c := *s
	c.revisions = slices.Clone(s.revisions)
	c.removed = maps.Clone(s.removed)
	c.grants = maps.Clone(s.grants)
	return &c
}

func (s *secret) latest() int { return len(s.revisions) }

// owns reports whether the unit belongs to the owner.
func (s *secret) owns(u *unit) bool { return s.owner == u.name || s.owner == u.app.name }

func (m *Model) newSecretID() string {
	m.secretSeq++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s secret %d", m.uuid, m.secretSeq))
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:12]))
}

// viewSecrets returns each secret as the hook sees it, sorted by ID.
func (c *Context) viewSecrets() []*secret {
	all := maps.Clone(c.m.secrets)
	maps.Copy(all, c.secrets)
	var list []*secret
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if !c.dropped[id] {
			list = append(list, all[id])
		}
	}
	return list
}

// secretByLabel finds a secret by its owner's label or the unit's own.
func (c *Context) secretByLabel(label string) *secret {
	for _, s := range c.viewSecrets() {
		if s.owns(c.u) && s.label == label || s.labels[c.u.name] == label {
			return s
		}
	}
	return nil
}

var secretID = regexp.MustCompile(`^[0-9a-v]{19}[0g]$`)

func (c *Context) secretByID(id string) (*secret, error) {
	id = strings.TrimPrefix(id, "secret:")
	if i := strings.LastIndex(id, "/"); i >= 0 {
		id = id[i+1:]
	}
	if !secretID.MatchString(id) {
		return nil, usagef("secret URI %q not valid", id)
	}
	for _, s := range c.viewSecrets() {
		if s.id == id {
			return s, nil
		}
	}
	return nil, fmt.Errorf("secret %q not found", id)
}

// mayRead reports whether the unit may read the secret: its owner's units, and
// those on the other side of a relation it was granted to.
func (c *Context) mayRead(s *secret) bool {
	if s.owns(c.u) {
		return true
	}
	for id, who := range s.grants {
		if rel := c.m.relations[id]; rel != nil && rel.has(c.u.app.name) &&
			(who == c.u.app.name || who == c.u.name) {
			return true
		}
	}
	return false
}

// ownSecret returns a copy of a secret that the hook may change.
func (c *Context) ownSecret(id string) (*secret, error) {
	s, err := c.secretByID(id)
	if err != nil {
		return nil, err
	}
	if !s.owns(c.u) {
		return nil, errors.New("permission denied")
	}
	if s.owner == c.u.app.name {
		if c.u.app.leader != c.u.name {
			return nil, errors.New("permission denied")
		}
		c.asLeader = true
	}
	if c.secrets[s.id] == nil {
		c.secrets[s.id] = s.clone()
	}
	return c.secrets[s.id], nil
}

func (c *Context) commitSecrets() {
	for id, s := range c.secrets {
		if c.dropped[id] {
			continue
		}
		// The writer needs no secret-changed for its own write.
		s.told[c.u.name] = s.latest()
		c.m.secrets[id] = s
	}
	for id := range c.dropped {
		delete(c.m.secrets, id)
	}
}

// nextSecretChange gives secret-changed to a unit that reads an older revision.
func (m *Model) nextSecretChange(u *unit) (Hook, bool) {
	for _, id := range slices.Sorted(maps.Keys(m.secrets)) {
		s := m.secrets[id]
		if at, ok := s.tracked[u.name]; ok && at < s.latest() && s.told[u.name] < s.latest() {
			h := Hook{Kind: hooks.SecretChanged, Secret: "secret:" + id, SecretRevision: s.latest()}
			h.SecretLabel = s.labels[u.name]
			if s.owns(u) {
				h.SecretLabel = s.label
			}
			return h, true
		}
	}
	return Hook{}, false
}

func (m *Model) secretTold(u *unit, h Hook) {
	if s := m.secrets[strings.TrimPrefix(h.Secret, "secret:")]; s != nil {
		s.told[u.name] = h.SecretRevision
	}
}

func checkSecret(content map[string]string) error {
	total := 0
	for key, value := range content {
		if !secretKey.MatchString(key) {
			return fmt.Errorf(
				"invalid key %q: keys must be at least 3 characters, of lower case letters, digits and hyphens",
				key)
		}
		total += len(value)
	}
	switch {
	case len(content) == 0:
		return errors.New("missing secret value")
	case total > maxSecret:
		return fmt.Errorf("secret content size must be less than %d bytes", maxSecret)
	}
	return nil
}
