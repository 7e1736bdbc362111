package juju

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	// maxArgument is the longest value, in bytes, that fits an argument. Linux allows 128 KiB for
	// one (MAX_ARG_STRLEN), including key and terminator, and action-set reads only arguments.
	maxArgument = 120 << 10
	// maxArguments bounds the bytes of one call. Linux allows 2 MiB including the environment, and
	// less under a small stack limit.
	maxArguments = 512 << 10
)

// SetResults sets an action's results: nested maps become dotted keys, and list items are numbered
// from 0. A key that Juju would refuse is rewritten to one that it accepts. A value that is too
// long for an argument is cut, and says so. Juju merges the calls.
func SetResults(ctx context.Context, tools Tools, values map[string]any) error {
	var args []string
	size := 0
	flush := func() error {
		if len(args) == 0 {
			return nil
		}
		_, err := tools.Run(ctx, nil, "action-set", args...)
		args, size = nil, 0
		if err != nil {
			return fmt.Errorf("cannot set the action's results: %w", err)
		}
		return nil
	}
	for _, arg := range flatten(nil, "", values) {
		if size+len(arg) > maxArguments {
			if err := flush(); err != nil {
				return err
			}
		}
		args, size = append(args, arg), size+len(arg)
	}
	return flush()
}

// FailAction makes the action fail with a message, and keeps what was set and published. An action
// that exits non-zero would lose both, and Juju would show only "exit status 1".
func FailAction(ctx context.Context, tools Tools, message string) error {
	if _, err := tools.Run(ctx, nil, "action-fail", "--", oneLine(message)); err != nil {
		return fmt.Errorf("cannot fail the action: %w", err)
	}
	return nil
}

// LogAction reports progress to the users who wait for the action.
func LogAction(ctx context.Context, tools Tools, message string) error {
	if _, err := tools.Run(ctx, nil, "action-log", "--", oneLine(message)); err != nil {
		return fmt.Errorf("cannot log the action's progress: %w", err)
	}
	return nil
}

// flatten appends "dotted.key=value" for every leaf under value, in the order of keys.
func flatten(args []string, key string, value any) []string {
	switch v := value.(type) {
	case nil:
		return args
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			args = flatten(args, join(key, name), v[name])
		}
		return args
	case map[string]string:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			args = flatten(args, join(key, name), v[name])
		}
		return args
	case []any:
		for i, item := range v {
			args = flatten(args, join(key, fmt.Sprint(i)), item)
		}
		return args
	case []map[string]any:
		for i, item := range v {
			args = flatten(args, join(key, fmt.Sprint(i)), item)
		}
		return args
	case []string:
		return flatten(args, key, strings.Join(v, ", "))
	}
	text := strings.Map(printable,
		strings.ReplaceAll(strings.ToValidUTF8(fmt.Sprint(value), "�"), "\x00", ""))
	if len(text) > maxArgument {
		text = strings.ToValidUTF8(text[:maxArgument], "") +
			fmt.Sprintf("… (cut: %d bytes in all)", len(text))
	}
	if key == "" {
		key = "result"
	}
	return append(args, key+"="+text)
}

func join(prefix, name string) string {
	name = resultKey(name)
	if prefix == "" {
		switch {
		case name == "stdout", name == "stderr", name == "return-code": // Juju's own
			return "result-" + name
		case strings.HasSuffix(name, "-encoding"):
			return name + "-name"
		}
		return name
	}
	return prefix + "." + name
}

// resultKey rewrites one part of a key to ^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$
// (worker/uniter/runner/jujuc/action-set.go): "etcd/0" becomes "etcd-0".
func resultKey(name string) string {
	name = strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	if name = strings.Trim(name, "-"); name == "" {
		return "x"
	}
	return name
}
