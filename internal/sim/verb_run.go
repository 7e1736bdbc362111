package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

func runVerb(s *Sim, e Env) *cobra.Command {
	var format string
	var stringArgs bool
	cmd := &cobra.Command{
		Use: "run <unit> <action> [key=value...]", Aliases: []string{"run-action"},
		Short: "Run an action, print its results; a failed action is an error",
		Long: "Run an action on a unit (or on <application>/leader) at once, and print its results.\n" +
			"Values are read as YAML, so that 5 is a number; a dotted key makes a map.",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			unit, err := s.unitArg(args[0])
			if err != nil {
				return err
			}
			params, err := actionParams(args[2:], stringArgs)
			if err != nil {
				return err
			}
			res, err := s.RunAction(cmd.Context(), unit, args[1], params)
			if err != nil {
				return err
			}
			if err := printResult(e, res, format); err != nil {
				return err
			}
			if res.Status == "failed" {
				return fmt.Errorf("action %q failed: %s", args[1], res.Message)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "plain", "plain, yaml or json")
	cmd.Flags().BoolVar(&stringArgs, "string-args", false, "take values as strings")
	cmd.Flags().Bool("wait", true, "accepted as in Juju; the result is always waited for")
	return cmd
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
		return fmt.Errorf("unknown format %q", format)
	}
	for _, line := range res.Log {
		fmt.Fprintln(e.Err, line)
	}
	// As juju run prints: what was printed, then the results.
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
