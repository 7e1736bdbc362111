package juju

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// ErrUnknownHook means that this charm does not know the hook, which then succeeds: a charm that
// was rolled back gets the hooks of a newer Juju, and of the newer charm's endpoints.
var ErrUnknownHook = errors.New("unknown hook")

// ParseEvent reads the event from the environment of a hook or action: from JUJU_DISPATCH_PATH
// ("hooks/start", "actions/health"), else from JUJU_ACTION_NAME or JUJU_HOOK_NAME, else from the
// path by which the charm was called. It does not read an action's parameters; Params does. For an
// unknown hook it returns ErrUnknownHook.
func ParseEvent(env func(string) string, argv0 string) (operator.Event, error) {
	dir, name := dispatched(env, argv0)
	if dir == "actions" {
		if name == "" {
			return operator.Event{}, errors.New("cannot tell which action is called")
		}
		return operator.Event{Kind: hooks.Action, Action: name}, nil
	}
	if name == "" {
		return operator.Event{}, errors.New("cannot tell which hook is called")
	}
	kind, endpoint, ok := parseHook(name)
	if !ok {
		return operator.Event{}, fmt.Errorf("%w %q", ErrUnknownHook, name)
	}
	event := operator.Event{Kind: kind}
	if !kind.IsRelation() {
		return event, nil
	}
	event.Endpoint = endpoint
	event.RelationID = env("JUJU_RELATION_ID")
	event.RemoteApp = env("JUJU_REMOTE_APP")
	event.RemoteUnit = env("JUJU_REMOTE_UNIT")
	if kind == hooks.RelationDeparted {
		event.Departing = env("JUJU_DEPARTING_UNIT")
	}
	if event.RemoteApp == "" { // Juju 2.9 sets none in a broken hook
		event.RemoteApp, _, _ = strings.Cut(event.RemoteUnit, "/")
	}
	if event.RelationID == "" {
		return operator.Event{}, fmt.Errorf("hook %s has no JUJU_RELATION_ID", name)
	}
	return event, nil
}

// dispatched returns the directory, "hooks" or "actions", and the name in it; the name is empty if
// none of the sources names it.
func dispatched(env func(string) string, argv0 string) (dir, name string) {
	if dir, name, ok := split(env("JUJU_DISPATCH_PATH")); ok {
		return dir, name
	}
	if action := env("JUJU_ACTION_NAME"); action != "" {
		return "actions", action
	}
	if hook := env("JUJU_HOOK_NAME"); hook != "" { // empty in an action
		return "hooks", hook
	}
	dir, name, _ = split(argv0)
	return dir, name
}

// split splits a path that ends in hooks/<name> or actions/<name>.
func split(path string) (dir, name string, ok bool) {
	dir, name = filepath.Base(filepath.Dir(path)), filepath.Base(path)
	if dir != "hooks" && dir != "actions" {
		return "", "", false
	}
	return dir, name, true
}

// parseHook splits a hook's name into its kind and, for relations, the endpoint.
func parseHook(name string) (hooks.Kind, string, bool) {
	kind := hooks.Kind(name)
	if slices.Contains(hooks.UnitHooks(), kind) || kind.IsSecret() {
		return kind, "", true
	}
	for _, kinds := range [][]hooks.Kind{hooks.RelationHooks(), hooks.StorageHooks()} {
		for _, kind := range kinds {
			if prefix, ok := strings.CutSuffix(name, "-"+string(kind)); ok && prefix != "" {
				return kind, prefix, true
			}
		}
	}
	return "", "", false
}

// Params reads an action's parameters, with the types and defaults that Juju gave them.
func Params(ctx context.Context, tools Tools) (map[string]any, error) {
	params := map[string]any{}
	if err := query(ctx, tools, &params, "action-get"); err != nil {
		return nil, fmt.Errorf("cannot read the action's parameters: %w", err)
	}
	if params == nil { // "null"
		params = map[string]any{}
	}
	return params, nil
}
