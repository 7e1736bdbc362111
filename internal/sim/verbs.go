package sim

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// Env is what a verb runs with.
type Env struct {
	// Out and Err get what the verb prints.
	Out, Err io.Writer
	// Dir is the directory for relative paths; "" is the current directory.
	Dir string
	// Terminal means that Out is a screen, which may be cleared.
	Terminal bool
}

// verb returns the command of one verb.
type verb func(s *Sim, e Env) *cobra.Command

func verbs() []verb {
	return slices.Concat(modelVerbs, lookVerbs, simVerbs, faultVerbs)
}

// Do runs one verb: Do(ctx, env, "add-unit", "-n", "2", "etcd"). The word juju may precede it.
func (s *Sim) Do(ctx context.Context, e Env, args ...string) error {
	if len(args) > 1 && args[0] == "juju" {
		args = args[1:]
	}
	root := &cobra.Command{Use: "juju-sim", SilenceUsage: true, SilenceErrors: true}
	root.CompletionOptions.DisableDefaultCmd = true
	for _, v := range verbs() {
		root.AddCommand(v(s, e))
	}
	explainUsage(root)
	root.SetOut(e.Out)
	root.SetErr(e.Err)
	root.SetArgs(args)
	err := safely(func() error { return root.ExecuteContext(ctx) })
	s.wake()
	return err
}

// safely makes an error of a panic. A verb that panics must not end the program: others use the
// model, and its processes and its directory would be left.
func safely(do func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("internal error: %v\n%s", cause, debug.Stack())
		}
	}()
	return do()
}

// explainUsage makes the errors about flags and arguments of root's commands say what is right.
func explainUsage(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		explain := func(err error) error {
			if err == nil {
				return nil
			}
			form := strings.TrimSuffix(cmd.UseLine(), " [flags]")
			return fmt.Errorf("%w; it is %s, see \"juju-sim %s --help\"", err, form, cmd.Name())
		}
		cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return explain(err) })
		if right := cmd.Args; right != nil {
			cmd.Args = func(cmd *cobra.Command, args []string) error { return explain(right(cmd, args)) }
		}
	}
}

// wake makes the loop that runs hooks look again.
func (s *Sim) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Verbs returns the names of all verbs and their aliases, sorted.
func Verbs() []string {
	var names []string
	for _, v := range verbs() {
		cmd := v(nil, Env{})
		names = append(append(names, cmd.Name()), cmd.Aliases...)
	}
	slices.Sort(names)
	return names
}

func (e Env) path(p string) string {
	if filepath.IsAbs(p) || e.Dir == "" {
		return p
	}
	return filepath.Join(e.Dir, p)
}

var modelVerbs = []verb{
	deployVerb, addUnitVerb, removeUnitVerb, removeApplicationVerb, integrateVerb, removeRelationVerb,
	suspendRelationVerb, resumeRelationVerb, configVerb, refreshVerb, resolvedVerb,
	runVerb, execVerb, removeSecretVerb,
}

// placement is the flags -n and --to.
type placement struct {
	n  int
	to string
}

func (p *placement) flags(cmd *cobra.Command) {
	cmd.Flags().IntVarP(&p.n, "num-units", "n", 1, "number of units")
	cmd.Flags().StringVar(&p.to, "to", "",
		"machines for the units, by number, separated by commas; the rest get new ones")
}

// machines returns the machines that --to names.
func (p *placement) machines(s *Sim) (on []int, err error) {
	if p.n < 0 {
		return nil, fmt.Errorf("-n must not be negative, got %d", p.n)
	}
	for _, part := range strings.Split(p.to, ",") {
		if part == "" {
			continue
		}
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("invalid machine %q", part)
		}
		if n >= len(s.machines()) {
			return nil, fmt.Errorf("machine %d not found", n)
		}
		on = append(on, n)
	}
	return on, nil
}

func (p *placement) add(s *Sim, app string) ([]string, error) {
	on, err := p.machines(s)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range p.n {
		to := model.NewMachine
		if i < len(on) {
			to = on[i]
		}
		name, err := s.Model.AddUnit(app, to)
		if err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, nil
}

func deployVerb(s *Sim, e Env) *cobra.Command {
	var p placement
	var config []string
	cmd := &cobra.Command{
		Use: "deploy <charm> [name]", Short: "Deploy a charm: a directory or a .charm archive",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			values, err := pairs(config)
			if err != nil {
				return err
			}
			ch, source, err := s.upload(e.path(args[0]))
			if err != nil {
				return err
			}
			name := ch.Meta().Name
			if len(args) == 2 {
				name = args[1]
			}
			if _, err := p.machines(s); err != nil {
				return err
			}
			if err := s.Model.Deploy(name, ch, source, values); err != nil {
				return err
			}
			fmt.Fprintf(e.Err, "Deploying %q from local charm %q, revision 0\n", name, ch.Meta().Name)
			_, err = p.add(s, name)
			return err
		},
	}
	p.flags(cmd)
	cmd.Flags().StringArrayVar(&config, "config", nil, "an option as key=value; may be repeated")
	return cmd
}

// pairs parses key=value words; values are taken as they are.
func pairs(words []string) (map[string]string, error) {
	values := map[string]string{}
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("expected key=value, got %q", w)
		}
		values[key] = value
	}
	return values, nil
}

func addUnitVerb(s *Sim, e Env) *cobra.Command {
	var p placement
	cmd := &cobra.Command{
		Use: "add-unit <application>", Short: "Add units to an application", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			names, err := p.add(s, args[0])
			for _, name := range names {
				fmt.Fprintln(e.Out, name)
			}
			return err
		},
	}
	p.flags(cmd)
	return cmd
}

func removeUnitVerb(s *Sim, e Env) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "remove-unit <unit>...", Short: "Remove units", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, name := range args {
				if err := s.Model.RemoveUnit(name, force); err != nil {
					return err
				}
				fmt.Fprintf(e.Err, "will remove unit %s\n", name)
			}
			return s.reap()
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "at once, with no hook on the unit")
	cmd.Flags().Bool("no-prompt", true, "accepted as in Juju; nothing is asked")
	return cmd
}

func removeApplicationVerb(s *Sim, e Env) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "remove-application <application>...",
		Short: "Remove applications with their units and relations",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, name := range args {
				units := s.Model.Units(name)
				if err := s.Model.RemoveApplication(name, force); err != nil {
					return err
				}
				fmt.Fprintf(e.Err, "will remove application %s\n", name)
				for _, unit := range units {
					fmt.Fprintf(e.Err, "- will remove unit %s\n", unit)
				}
			}
			return s.reap()
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "at once, with no hook on the units")
	cmd.Flags().Bool("no-prompt", true, "accepted as in Juju; nothing is asked")
	return cmd
}

func integrateVerb(s *Sim, e Env) *cobra.Command {
	return &cobra.Command{
		Use:     "integrate <application[:endpoint]> <application[:endpoint]>",
		Aliases: []string{"add-relation", "relate"},
		Short:   "Relate two applications, and print the relation's id",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := s.Model.Relate(args[0], args[1])
			if err == nil {
				fmt.Fprintln(e.Out, id)
			}
			return err
		},
	}
}

func removeRelationVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use:   "remove-relation <application[:endpoint]> <application[:endpoint]>",
		Short: "Remove a relation",
		Args:  cobra.ExactArgs(2),
		RunE:  func(_ *cobra.Command, args []string) error { return s.Model.Unrelate(args[0], args[1]) },
	}
}

func suspendRelationVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use:   "suspend-relation <relation-id>...",
		Short: "Suspend relations: their units run departed and broken",
		Long: "Suspends relations until resume-relation: their units run departed and broken. Juju suspends relations with\n" +
			"applications of another model only; here any relation but a peer relation can be suspended.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return each(args, s.Model.Suspend) },
	}
}

func resumeRelationVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use:   "resume-relation <relation-id>...",
		Short: "Resume suspended relations under their ids: their units run created, joined and changed",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return each(args, s.Model.Resume) },
	}
}

// each calls do with each word, up to the first error.
func each(words []string, do func(string) error) error {
	for _, w := range words {
		if err := do(w); err != nil {
			return err
		}
	}
	return nil
}

func resolvedVerb(s *Sim, _ Env) *cobra.Command {
	var skip bool
	cmd := &cobra.Command{
		Use: "resolved <unit>...", Short: "Retry a failed hook now", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, name := range args {
				if err := s.Model.Resolved(name, skip); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&skip, "no-retry", false, "take the failed hook as done")
	return cmd
}

func leaderVerb(s *Sim, e Env) *cobra.Command {
	return &cobra.Command{
		Use: "leader <application> [unit]", Short: "Print the leader, or make a unit the leader",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 2 {
				return s.Model.SetLeader(args[0], args[1])
			}
			name, err := s.Model.Leader(args[0])
			if err == nil {
				fmt.Fprintln(e.Out, name)
			}
			return err
		},
	}
}
