package juju

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// What Preflight refuses. ErrNoElection makes the hook fail, so that Juju holds the unit; ErrOldJuju is a quiet success
// with a status that says so, for a hook that fails would be retried for ever.
var (
	ErrNoElection = errors.New("this Juju elects no leaders")
	ErrOldJuju    = errors.New("this Juju is too old")
)

// The oldest Juju that the charm runs on.
const minMajor, minMinor = 2, 9

// Preflight tells whether this Juju can run the charm at all; version is JUJU_VERSION. When it cannot, Preflight has
// logged why and set the status as far as the tools at hand allow. A version that cannot be read is let through.
func Preflight(ctx context.Context, tools Tools, find Finder, log *slog.Logger, version string) error {
	if !find.Has("is-leader") {
		why := operator.NoElection()
		log.Log(ctx, LevelCritical, why.Text())
		if err := SetStatus(ctx, tools, why.Status()); err != nil {
			log.WarnContext(ctx, "cannot set the status", "error", err)
		}
		return ErrNoElection
	}
	major, minor, ok := parseVersion(version)
	if !ok {
		log.DebugContext(ctx, "cannot read JUJU_VERSION, going on", "version", version)
		return nil
	}
	if major > minMajor || (major == minMajor && minor >= minMinor) {
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

// parseVersion reads major and minor of a Juju version: "2.9.49", "2.9-beta1.2", "4.0.15".
func parseVersion(version string) (major, minor int, ok bool) {
	first, rest, found := strings.Cut(version, ".")
	if !found {
		return 0, 0, false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		if rest[end] != '.' && rest[end] != '-' {
			return 0, 0, false
		}
		rest = rest[:end]
	}
	major, err := strconv.Atoi(first)
	if err != nil || major < 0 {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(rest)
	return major, minor, err == nil
}
