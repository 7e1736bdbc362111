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

// findSecret returns the ID of our own secret with that label, "" if it is known that there is none. A secret-get that
// failed is no answer, for Juju's words for "not found" differ between versions: every secret's label is looked at.
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

// addSecret makes a secret; `juju secrets` shows the description. Nothing else may have its label.
func addSecret(ctx context.Context, tools Tools, s operator.SecretWrite, description string) error {
	owner := "unit"
	if s.App {
		owner = "application"
	}
	return writeSecret(ctx, tools, s.Content, "secret-add", "--owner", owner, "--label", s.Label, "--description", description)
}

// writeSecret runs a tool that takes a secret's content. It goes by files that have no name, since an argument can be read by
// everybody and a charm that dies here must leave none behind: the agent, which is root, opens them by way of our process.
func writeSecret(ctx context.Context, tools Tools, content map[string]string, tool string, args ...string) error {
	for _, key := range slices.Sorted(maps.Keys(content)) {
		file, err := unnamed(content[key])
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // nothing of it is wanted any more
		args = append(args, fmt.Sprintf("%s#file=/proc/%d/fd/%d", key, os.Getpid(), file.Fd()))
	}
	_, err := tools.Run(ctx, nil, tool, args...)
	return err
}

// secrets writes the secrets that the plan names, and lets the other side of their relation read them. Juju makes no new
// revision of content that is the same.
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

// uri is the URI of a secret of ours.
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
