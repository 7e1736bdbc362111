package juju

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// What Preflight refuses. ErrNoElection makes the hook fail, so that Juju holds the unit. With
// ErrOldJuju the hook succeeds and the status says why, because a hook that fails would be retried
// without end.
var (
	ErrNoElection = errors.New("this Juju elects no leaders")
	ErrOldJuju    = errors.New("this Juju is too old")
)

// oldest is the oldest Juju that the charm runs on.
const oldest = "v2.9"

// Preflight reports whether this Juju can run the charm at all; version is JUJU_VERSION. When it
// cannot, Preflight has logged why and set the status as far as the tools at hand allow. A version
// that cannot be read is let through.
func Preflight(
	ctx context.Context, tools Tools, find Finder, log *slog.Logger, version string,
) error {
	if !find.Has("is-leader") {
		why := operator.NoElection()
		log.Log(ctx, LevelCritical, why.Text())
		if err := SetStatus(ctx, tools, why.Status()); err != nil {
			log.WarnContext(ctx, "cannot set the status", "error", err)
		}
		return ErrNoElection
	}
	found := minor(version)
	if found == "" {
		log.DebugContext(ctx, "cannot read JUJU_VERSION, going on", "version", version)
		return nil
	}
	if semver.Compare(found, oldest) >= 0 {
		return nil
	}
	why := operator.JujuTooOld(version)
	err := fmt.Errorf("%w: %s", ErrOldJuju, why)
	log.ErrorContext(ctx, err.Error())
	if err := SetStatus(ctx, tools, why.Status()); err != nil {
		log.WarnContext(ctx, "cannot set the status", "error", err)
	}
	return err
}

// minor returns the minor version, "v2.9", of a Juju version such as "2.9.49", "2.9-beta1.2" or
// "4.0.15.1"; "" for a text that is no version.
func minor(version string) string {
	release, _, _ := strings.Cut(version, "-")
	major, rest, found := strings.Cut(release, ".")
	if !found {
		return ""
	}
	minor, _, _ := strings.Cut(rest, ".")
	return semver.MajorMinor("v" + major + "." + minor)
}
