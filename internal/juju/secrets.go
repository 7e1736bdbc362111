package juju

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// findSecret returns the ID of our own secret with that label, or "" if it is certain that none
// exists. It looks at every secret's label: a secret-get that failed proves nothing, because Juju's
// words for "not found" differ between versions.
func findSecret(ctx context.Context, tools Tools, label string) (string, error) {
	var ids []string
	if err := query(ctx, tools, &ids, "secret-ids"); err != nil {
		return "", err
	}
	for _, id := range ids {
		var info map[string]struct {
			Label *string `json:"label"`
		}
		if err := query(ctx, tools, &info, "secret-info-get", id); err != nil {
			return "", err
		}
		if len(info) == 0 {
			return "", errors.New("secret-info-get answered nothing")
		}
		for _, secret := range info {
			if secret.Label != nil && *secret.Label == label {
				return id, nil
			}
		}
	}
	return "", nil
}

// addSecret makes a secret; `juju secrets` shows the description. No other secret may have its
// label.
func addSecret(ctx context.Context, tools Tools, s operator.SecretWrite, description string) error {
	owner := "unit"
	if s.App {
		owner = "application"
	}
	return writeSecret(ctx, tools, s.Content,
		"secret-add", "--owner", owner, "--label", s.Label, "--description", description)
}

// writeSecret runs a tool that takes a secret's content. It passes the content in files without a
// name. Every user on the machine can read an argument, and a charm that dies here must leave no
// file behind. The agent, which is root, opens the files through our process in /proc.
func writeSecret(
	ctx context.Context, tools Tools, content map[string]string, tool string, args ...string,
) error {
	for _, key := range slices.Sorted(maps.Keys(content)) {
		file, err := unnamed(content[key])
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // nothing in it is needed any more
		args = append(args, fmt.Sprintf("%s#file=/proc/%d/fd/%d", key, os.Getpid(), file.Fd()))
	}
	_, err := tools.Run(ctx, nil, tool, args...)
	return err
}

// secrets writes the secrets that the plan names, and grants the other side of their relation read
// access. Juju makes no new revision if the content is the same.
func (f *flush) secrets(ctx context.Context) error {
	for _, s := range f.plan.Secrets {
		if err := f.secret(ctx, s); err != nil {
			return fmt.Errorf("cannot store secret %s: %w", s.Label, err)
		}
	}
	return nil
}

func (f *flush) secret(ctx context.Context, s operator.SecretWrite) error {
	if s.App && !f.leads() {
		return errors.New("only the known leader writes a secret of the application")
	}
	id, err := findSecret(ctx, f.tools, s.Label)
	switch {
	case err != nil:
		return err
	case id != "":
		err = writeSecret(ctx, f.tools, s.Content, "secret-set", id)
	default:
		if err = addSecret(ctx, f.tools, s, "etcd: for relation "+s.Relation); err == nil {
			id, err = findSecret(ctx, f.tools, s.Label)
		}
	}
	if err != nil || s.Relation == "" {
		return err
	}
	_, err = f.tools.Run(ctx, nil, "secret-grant", id, "-r", s.Relation)
	return err
}

// uri returns the URI of one of our secrets.
func (f *flush) uri(ctx context.Context, label string) (string, error) {
	id, err := findSecret(ctx, f.tools, label)
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot find secret %s: %w", label, err)
	case id == "":
		return "", fmt.Errorf("there is no secret %s", label)
	}
	return "secret:" + id, nil
}

// unnamed returns an open file that holds text, in memory if possible. Only we can read it, and it
// disappears when it is closed. Its name is removed before its content is written.
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
