package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

func runVerb(s *Sim, e Env) *cobra.Command {
	var r run
	var t targets
	cmd := &cobra.Command{
		Use: "run <unit> <action> [key=value...]", Aliases: []string{"run-action"},
		Short: "Run an action and print its results; a failed action is an error",
		Long: "Runs an action on a unit (or on <application>/leader) at once and prints its results, and while it runs its\n" +
			"progress. Values are read as YAML, so that 5 is a number; a dotted key makes a map. A failed action is an\n" +
			"error here; Juju says that it failed, and exits with 0.\n" +
			"With --juju 2.9, \"run --unit <unit> <command>\" does what exec does in later versions.",
		Example: "  juju-sim run etcd/0 health\n  juju-sim run etcd/leader compact revision=7\n" +
			"  juju-sim run-action etcd/0 health --wait",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if t.given() {
				if !strings.HasPrefix(s.Model.Rules.Version, "2.") {
					return errors.New("since Juju 3 run is for actions: use exec for commands")
				}
				return s.exec(cmd.Context(), e, t, r.format, args)
			}
			if len(args) == 0 {
				return errors.New("no unit specified: it is juju-sim run <unit> <action> [key=value...]")
			}
			if len(args) == 1 {
				app, _, _ := strings.Cut(args[0], "/")
				return fmt.Errorf("no action specified: \"juju-sim actions %s\" lists them", app)
			}
			return r.do(cmd.Context(), s, e, args[0], args[1], args[2:])
		},
	}
	cmd.Flags().StringVar(&r.format, "format", "plain", "plain, yaml or json")
	cmd.Flags().BoolVar(&r.stringArgs, "string-args", false, "take values as strings")
	cmd.Flags().String("wait", "", "accepted as in Juju; the result is always waited for")
	cmd.Flags().Lookup("wait").NoOptDefVal = "true"
	old := pflag.NewFlagSet("2.9", pflag.ContinueOnError)
	t.flags(old)
	old.VisitAll(func(f *pflag.Flag) {
		f.Hidden = true
		cmd.Flags().AddFlag(f)
	})
	return cmd
}

// run is how an action is run.
type run struct {
	format     string
	stringArgs bool
}

func (r run) do(ctx context.Context, s *Sim, e Env, target, name string, words []string) error {
	unit, err := s.unitArg(target)
	if err != nil {
		return err
	}
	params, err := actionParams(words, r.stringArgs)
	if err != nil {
		return err
	}
	var follow func(*model.Context)
	if r.format == "plain" {
		follow = func(c *model.Context) { tellOf(e, c) }
	}
	res, err := s.runAction(ctx, unit, name, params, follow)
	if err != nil {
		return err
	}
	if err := printResult(e, res, r.format); err != nil {
		return err
	}
	if res.Status == "failed" {
		return fmt.Errorf("action %q failed: %s", name, res.Message)
	}
	return nil
}

// tellOf prints what Juju prints when a task begins, and then each line of its log as it appears.
func tellOf(e Env, c *model.Context) {
	task, _ := strconv.Atoi(c.ActionID())
	fmt.Fprintf(e.Err,
		"Running operation %d with 1 task\n  - task %d on unit-%s\n\nWaiting for task %d...\n",
		task-1, task, strings.ReplaceAll(c.Unit(), "/", "-"), task)
	c.OnActionLog(func(line string) { fmt.Fprintln(e.Err, line) })
}

// unitArg resolves "etcd/leader".
func (s *Sim) unitArg(name string) (string, error) {
	app, ok := strings.CutSuffix(name, "/leader")
	if !ok {
		return name, nil
	}
	leader, err := s.Model.Leader(app)
	if err == nil && leader == "" {
		err = fmt.Errorf("application %q has no leader", app)
	}
	return leader, err
}

// actionParams parses key=value words as "juju run" does.
func actionParams(words []string, asStrings bool) (map[string]any, error) {
	params := map[string]any{}
	for _, w := range words {
		key, text, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("expected key=value, got %q", w)
		}
		var value any = text
		if !asStrings {
			value = nil
			if err := yaml.Unmarshal([]byte(text), &value); err != nil {
				return nil, fmt.Errorf("cannot parse the value of %q: %w", key, err)
			}
		}
		path := strings.Split(key, ".")
		at := params
		for _, part := range path[:len(path)-1] {
			next, ok := at[part].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[part] = next
			}
			at = next
		}
		at[path[len(path)-1]] = value
	}
	return params, nil
}

func printResult(e Env, res model.ActionResult, format string) error {
	switch format {
	case "json":
		text, err := json.MarshalIndent(map[string]any{res.Unit: res}, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(e.Out, string(text))
		return err
	case "yaml":
		return writeYAML(e, map[string]any{res.Unit: res})
	case "plain":
	default:
		return fmt.Errorf("unknown format %q: it is plain, yaml or json", format)
	}
	// juju run prints the output first, then the results.
	rest := maps.Clone(res.Results)
	if text, ok := rest["stdout"].(string); ok {
		fmt.Fprint(e.Out, text)
	}
	if text, ok := rest["stderr"].(string); ok {
		fmt.Fprint(e.Err, text)
	}
	for _, key := range []string{"stdout", "stderr", "return-code"} {
		delete(rest, key)
	}
	for _, key := range slices.Sorted(maps.Keys(rest)) {
		if err := writeYAML(e, map[string]any{key: rest[key]}); err != nil {
			return err
		}
	}
	return nil
}

func writeYAML(e Env, v any) error {
	enc := yaml.NewEncoder(e.Out)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return enc.Close()
}
