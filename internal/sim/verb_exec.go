package sim

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// targets are the units and machines that commands are run on.
type targets struct {
	units, apps, machines []string
	all                   bool
}

func (t *targets) flags(f *pflag.FlagSet) {
	f.StringSliceVarP(&t.units, "unit", "u", nil, "units, <application>/leader among them")
	f.StringSliceVarP(&t.apps, "application", "a", nil, "applications, on each of their units")
	f.StringSliceVar(&t.apps, "app", nil, "the same as --application")
	f.StringSliceVar(&t.machines, "machine", nil,
		"machines, by number; outside of any unit, without hook tools")
	f.BoolVar(&t.all, "all", false, "all machines")
}

func (t *targets) given() bool { return len(t.units)+len(t.apps)+len(t.machines) > 0 || t.all }

// resolve returns the units, then the machines, each once.
func (t *targets) resolve(s *Sim) (units []string, machines []int, err error) {
	for _, app := range t.apps {
		if _, err := s.Model.Leader(app); err != nil {
			return nil, nil, err
		}
		units = append(units, s.Model.Units(app)...)
	}
	for _, name := range t.units {
		unit, err := s.unitArg(name)
		if err != nil {
			return nil, nil, err
		}
		if _, err := s.Model.Unit(unit); err != nil {
			return nil, nil, err
		}
		units = append(units, unit)
	}
	for _, arg := range t.machines {
		id, err := s.machineArg(arg)
		if err != nil {
			return nil, nil, err
		}
		machines = append(machines, id)
	}
	if t.all {
		machines = s.machines()
	}
	slices.SortFunc(units, byNumber)
	slices.Sort(machines)
	return slices.Compact(units), slices.Compact(machines), nil
}

func execVerb(s *Sim, e Env) *cobra.Command {
	var t targets
	var format string
	cmd := &cobra.Command{
		Use:   "exec --unit <unit> [--] <command> [argument...]",
		Short: "Run commands in the context of units: hook tools answer",
		Long: "Runs commands as root in the charm's directory of a unit, with its hook tools: what they write is kept if the\n" +
			"commands exit 0. One word is taken as a line for the shell. An application means each of its units; a machine\n" +
			"has no hook tools. In a script exec is testscript's own: write \"juju exec\" there.",
		Example: "  juju-sim exec --unit etcd/0 -- relation-ids cluster\n" +
			"  juju-sim exec --application etcd 'goal-state | head -3'\n" +
			"  juju-sim exec --unit etcd/leader is-leader",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.exec(cmd.Context(), e, t, format, args)
		},
	}
	t.flags(cmd.Flags())
	cmd.Flags().StringVar(&format, "format", "plain", "plain, yaml or json")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// exec runs commands on each target in turn, and prints the results once all have ended, as Juju
// does.
func (s *Sim) exec(ctx context.Context, e Env, t targets, format string, words []string) error {
	switch {
	case len(words) == 0:
		return errors.New("no commands specified")
	case t.all && (&targets{units: t.units, apps: t.apps, machines: t.machines}).given():
		//nolint:staticcheck // Juju's words
		return errors.New("You cannot specify --all and individual machines, applications or units")
	case !t.given():
		//nolint:staticcheck // Juju's words
		return errors.New(
			"You must specify a target, either through --all, --machine, --application or --unit")
	case !slices.Contains([]string{"plain", "yaml", "json"}, format):
		return fmt.Errorf("unknown format %q: it is plain, yaml or json", format)
	}
	units, machines, err := t.resolve(s)
	if err != nil {
		return err
	}
	line := words[0]
	if len(words) > 1 {
		line = shellWords(words)
	}
	var names []string
	results := map[string]any{}
	var failed error
	for _, unit := range units {
		res, err := s.execOn(ctx, unit, line)
		if err != nil {
			return err
		}
		names, results[unit] = append(names, unit), res
		failed = errors.Join(failed, verdict(unit, res))
	}
	for _, id := range machines {
		name := fmt.Sprint(id)
		res, err := s.onMachine(ctx, id, line)
		if err != nil {
			return err
		}
		names, results[name] = append(names, name), res
		failed = errors.Join(failed, verdict("machine "+name, res))
	}
	if format != "plain" {
		return errors.Join(writeAs(e, format, results), failed)
	}
	for _, name := range names {
		res, _ := results[name].(model.ActionResult)
		if len(names) > 1 {
			fmt.Fprintf(e.Out, "%s:\n", name)
		}
		for _, stream := range []string{"stdout", "stderr"} {
			if text, _ := res.Results[stream].(string); text != "" {
				fmt.Fprintln(e.Out, strings.TrimSuffix(text, "\n"))
			}
		}
		if len(names) > 1 {
			fmt.Fprintln(e.Out)
		}
	}
	return failed
}

func verdict(who string, res model.ActionResult) error {
	code := res.Results["return-code"]
	switch {
	case res.Status == "failed":
		return fmt.Errorf("the commands on %s failed: %s", who, res.Message)
	case code != 0:
		return fmt.Errorf("the commands on %s failed: exit status %v", who, code)
	}
	return nil
}

// execOn runs a line of shell in the context of a unit, once no hook runs.
func (s *Sim) execOn(ctx context.Context, unit, line string) (model.ActionResult, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.Model.Exec(ctx, unit, model.RunnerFunc(
		func(ctx context.Context, c *model.Context) (model.Outcome, error) {
			dir, err := s.place(c)
			if err == nil {
				err = s.linkCommands(c.Machine())
			}
			if err != nil {
				return model.Outcome{}, err
			}
			ctx, cancel := context.WithTimeoutCause(ctx, s.opts.HookTimeout, errSlow)
			defer cancel()
			cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
			cmd.Dir, cmd.Env = dir, s.environ(c, dir, "")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			return s.start(ctx, c, cmd)
		}))
}

// onMachine runs a line of shell on a machine.
func (s *Sim) onMachine(ctx context.Context, id int, line string) (model.ActionResult, error) {
	var out, errOut strings.Builder
	cmd, err := s.machineCommand(ctx, id, "/bin/sh", "-c", line)
	if err != nil {
		return model.ActionResult{}, err
	}
	cmd.Stdout, cmd.Stderr = &out, &errOut
	res := model.ActionResult{
		ID: "0", Unit: fmt.Sprint(id), Status: "completed", Results: map[string]any{},
	}
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return res, err
	}
	res.Results["return-code"] = cmd.ProcessState.ExitCode()
	for key, text := range map[string]string{"stdout": out.String(), "stderr": errOut.String()} {
		if text != "" {
			res.Results[key] = text
		}
	}
	return res, nil
}

// shellWords returns a line that the shell splits into exactly these words.
func shellWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shellWord(w)
	}
	return strings.Join(quoted, " ")
}

// shellWord quotes a word if the shell would not take it as it is.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_./:=,@+%", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
