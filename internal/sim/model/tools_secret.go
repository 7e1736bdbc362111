package model

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"strings"
)

// secretContent decodes "key=value", "key#base64=value" and "key#file=path"
// arguments and --file.
func (k *call) secretContent() (map[string]string, error) {
	content := map[string]string{}
	if path, _ := k.flags.GetString("file"); path != "" {
		text, err := k.readFile(path)
		if err != nil {
			return nil, err
		}
		if content, err = readSettings(text); err != nil {
			return nil, err
		}
	}
	for _, arg := range k.args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, usagef("key value %q not valid", arg)
		}
		key, how, _ := strings.Cut(key, "#")
		if _, twice := content[key]; twice {
			return nil, usagef("key %q specified more than once", key)
		}
		switch how {
		case "":
		case "file":
			text, err := k.readFile(value)
			if err != nil {
				return nil, fmt.Errorf("cannot read the content of %q: %w", key, err)
			}
			value = string(text)
		case "base64":
			text, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return nil, fmt.Errorf("cannot decode the content of %q as base64", key)
			}
			value = string(text)
		default:
			return nil, usagef("key %q has an unknown suffix #%s", key, how)
		}
		content[key] = value
	}
	return content, nil
}

func secretFlags(k *call) {
	k.flags.String("label", "", "a label used to identify the secret in hooks")
	k.flags.String("description", "", "the secret description")
	k.flags.String("owner", "application", "the owner of the secret: application or unit")
	k.flags.String("file", "", "a YAML file of keys and values; - is stdin")
	k.flags.String("rotate", "", "the secret rotation policy")
	k.flags.String("expire", "", "a duration or time when the secret should expire")
}

func secretAdd(k *call) error {
	content, err := k.secretContent()
	if err != nil {
		return err
	}
	if err := checkSecret(content); err != nil {
		return usageError{err}
	}
	owner, _ := k.flags.GetString("owner")
	label, _ := k.flags.GetString("label")
	description, _ := k.flags.GetString("description")
	s := &secret{
		label: label, description: description, revisions: []map[string]string{content},
		removed: map[int]bool{}, grants: map[int]string{},
		tracked: map[string]int{}, told: map[string]int{}, labels: map[string]string{},
	}
	switch owner {
	case "application":
		if k.u.app.leader != k.u.name {
			return errors.New("this unit is not the leader")
		}
		s.owner, k.asLeader = k.u.app.name, true
	case "unit":
		s.owner = k.u.name
	default:
		return usagef("secret owner %q not valid", owner)
	}
	for _, other := range k.viewSecrets() {
		if label != "" && other.label == label && other.owner == s.owner {
			return fmt.Errorf("secret with label %q already exists", label)
		}
	}
	s.id = k.m.newSecretID()
	k.secrets[s.id] = s
	fmt.Fprintf(&k.out, "secret:%s\n", s.id)
	return nil
}

func secretSet(k *call) error {
	if len(k.args) == 0 {
		return usagef("missing secret URI")
	}
	id := k.args[0]
	k.args = k.args[1:]
	content, err := k.secretContent()
	if err != nil {
		return err
	}
	if len(content) > 0 {
		if err := checkSecret(content); err != nil {
			return usageError{err}
		}
	}
	s, err := k.ownSecret(id)
	if err != nil {
		return err
	}
	if k.flags.Changed("label") {
		s.label, _ = k.flags.GetString("label")
	}
	if k.flags.Changed("description") {
		s.description, _ = k.flags.GetString("description")
	}
	// Juju makes no revision if the content is the same.
	if len(content) > 0 && !maps.Equal(content, s.revisions[s.latest()-1]) {
		s.revisions = append(s.revisions, content)
	}
	return nil
}

func secretGet(k *call) error {
	label, _ := k.flags.GetString("label")
	refresh, _ := k.flags.GetBool("refresh")
	peek, _ := k.flags.GetBool("peek")
	if peek && refresh {
		return usagef("specify one of --peek or --refresh but not both")
	}
	var s *secret
	var err error
	switch {
	case len(k.args) > 0 &&
		(strings.HasPrefix(k.args[0], "secret:") || len(k.args) > 1 || label == ""):
		s, err = k.secretByID(k.args[0])
		k.args = k.args[1:]
	case label == "":
		return usagef("require either a secret URI or label")
	default:
		if s = k.secretByLabel(label); s == nil {
			err = fmt.Errorf("secret with label %q not found", label)
		}
	}
	if err != nil {
		return err
	}
	if !k.mayRead(s) {
		return errPermission
	}
	if label != "" && !s.owns(k.u) {
		s.labels[k.u.name] = label
	}
	at, tracks := s.tracked[k.u.name]
	_, pending := k.secrets[s.id]
	switch {
	case peek:
		at = s.latest()
	case refresh || !tracks:
		at = s.latest()
		if !pending {
			s.tracked[k.u.name] = at
		}
	}
	if s.removed[at] {
		return fmt.Errorf("secret revision %d not found", at)
	}
	return answer(k, s.revisions[at-1])
}

// secretIDs prints null in JSON if there are none, as Juju does.
func secretIDs(k *call) error {
	if err := k.atMost(0); err != nil {
		return err
	}
	var ids []string
	for _, s := range k.viewSecrets() {
		if s.owner == k.u.name || s.owner == k.u.app.name && k.u.app.leader == k.u.name {
			ids = append(ids, s.id)
		}
	}
	return k.write(ids)
}

func secretInfoGet(k *call) error {
	label, _ := k.flags.GetString("label")
	var s *secret
	var err error
	switch {
	case len(k.args) > 0:
		s, err = k.secretByID(k.args[0])
	case label != "":
		if s = k.secretByLabel(label); s == nil {
			err = fmt.Errorf("secret with label %q not found", label)
		}
	default:
		return usagef("require either a secret URI or label")
	}
	if err != nil {
		return err
	}
	if !s.owns(k.u) || s.owner == k.u.app.name && k.u.app.leader != k.u.name {
		return fmt.Errorf("secret %q not found", s.id)
	}
	owner := "unit"
	if s.owner == k.u.app.name {
		owner = "application"
	}
	info := map[string]any{
		"revision": s.latest(), "label": s.label, "owner": owner, "rotation": "never",
	}
	if s.description != "" {
		info["description"] = s.description
	}
	return k.write(map[string]any{s.id: info})
}

// secretGrant grants to the other side of a relation, or revokes.
func secretGrant(grant bool) func(k *call) error {
	return func(k *call) error {
		if len(k.args) != 1 {
			return usagef("missing secret URI")
		}
		s, err := k.ownSecret(k.args[0])
		if err != nil {
			return err
		}
		if app, _ := k.flags.GetString("app"); app != "" && !grant {
			maps.DeleteFunc(s.grants, func(_ int, who string) bool { return appOf(who) == app })
			return nil
		}
		rel, _, err := k.relationArg()
		if err != nil {
			return err
		}
		who := rel.remote(k.u.app.name).app.name
		if unit, _ := k.flags.GetString("unit"); unit != "" {
			who = unit
		}
		if grant {
			s.grants[rel.id] = who
		} else {
			delete(s.grants, rel.id)
		}
		return nil
	}
}

func secretRemove(k *call) error {
	if len(k.args) != 1 {
		return usagef("missing secret URI")
	}
	s, err := k.ownSecret(k.args[0])
	if err != nil {
		return err
	}
	if revision, _ := k.flags.GetInt("revision"); revision > 0 {
		if revision > s.latest() {
			return fmt.Errorf("secret revision %d not found", revision)
		}
		s.removed[revision] = true
		if len(s.removed) < s.latest() {
			return nil
		}
	}
	k.dropped[s.id] = true
	return nil
}
