package sim

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

var lookVerbs = []verb{
	statusVerb, settleVerb, stepVerb, updateStatusVerb, waitVerb, hooksVerb, debugLogVerb, bagVerb, rootVerb, addressVerb, sshVerb,
}

func writeJSON(e Env, v any) error {
	enc := json.NewEncoder(e.Out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func statusVerb(s *Sim, e Env) *cobra.Command {
	var format string
	var relations bool
	cmd := &cobra.Command{
		Use: "status [application...]", Short: "Show the model",
		RunE: func(_ *cobra.Command, args []string) error {
			st := s.Model.Status()
			if len(args) > 0 {
				maps.DeleteFunc(st.Applications, func(name string, _ model.ApplicationStatus) bool { return !slices.Contains(args, name) })
			}
			switch format {
			case "json":
				return writeJSON(e, st)
			case "tabular":
				return writeStatus(e, st, relations)
			}
			return fmt.Errorf("unknown format %q", format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "tabular", "tabular or json")
	cmd.Flags().BoolVar(&relations, "relations", false, "show relations too")
	return cmd
}

func writeStatus(e Env, st model.Status, relations bool) error {
	w := tabwriter.NewWriter(e.Out, 0, 1, 2, ' ', 0)
	fmt.Fprintf(w, "Model\tJuju\n%s\t%s\n\n", st.Model.Name, st.Model.Version)
	fmt.Fprintln(w, "App\tVersion\tStatus\tScale\tCharm\tMessage")
	names := slices.Sorted(maps.Keys(st.Applications))
	for _, name := range names {
		a := st.Applications[name]
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", name, a.Version, a.Status.Current, a.Scale, a.Charm, a.Status.Message)
	}
	fmt.Fprintln(w, "\nUnit\tWorkload\tAgent\tMachine\tAddress\tPorts\tMessage")
	for _, name := range names {
		units := st.Applications[name].Units
		for _, unit := range slices.SortedFunc(maps.Keys(units), byNumber) {
			u := units[unit]
			mark := ""
			if u.Leader {
				mark = "*"
			}
			fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\t%s\t%s\n", unit, mark, u.Workload.Current, u.Agent.Current,
				u.Machine, u.Address, strings.Join(u.Ports, ","), u.Workload.Message)
		}
	}
	if relations {
		fmt.Fprintln(w, "\nRelation\tEndpoints\tInterface\tMessage")
		for _, r := range st.Relations {
			message := ""
			if r.Suspended {
				message = "suspended"
			}
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", r.ID, strings.Join(r.Endpoints, " "), r.Interface, message)
		}
	}
	return w.Flush()
}

// byNumber orders etcd/2 before etcd/10.
func byNumber(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) }

func settleVerb(s *Sim, _ Env) *cobra.Command {
	var timeout time.Duration
	var rounds int
	cmd := &cobra.Command{
		Use: "settle", Short: "Run hooks until none is queued; units left in error are an error", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), cmp.Or(timeout, s.opts.Patience))
			defer cancel()
			if err := s.Settle(ctx); err != nil {
				return err
			}
			for range rounds {
				if err := s.updateStatus(s.Model.Units("")); err != nil {
					return err
				}
				if err := s.Settle(ctx); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long (default 5m)")
	cmd.Flags().IntVar(&rounds, "update-status", 0, "then run update-status on every unit, this many times")
	return cmd
}

func (s *Sim) updateStatus(units []string) error {
	for _, name := range units {
		if err := s.Model.UpdateStatus(name); err != nil {
			return err
		}
	}
	return nil
}

func updateStatusVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use: "update-status [unit...]", Short: "Queue update-status, on all units if none is named",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = s.Model.Units("")
			}
			return s.updateStatus(args)
		},
	}
}

func waitVerb(s *Sim, _ Env) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "wait <unit|application> <regexp>", Aliases: []string{"wait-for"},
		Short: "Run hooks until a unit's, or every unit's, status and message match",
		Long: "Runs hooks until \"<status> <message>\" matches the regular expression; what is queued first,\n" +
			"then update-status and what failed every second of real time.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			pattern, err := regexp.Compile(args[1])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), cmp.Or(timeout, s.opts.Patience))
			defer cancel()
			return s.wait(ctx, args[0], pattern)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long (default 5m)")
	return cmd
}

func (s *Sim) wait(ctx context.Context, target string, pattern *regexp.Regexp) error {
	for {
		// A unit in error may be what is waited for; whatever else is not.
		settleErr := s.Settle(ctx)
		units, seen := s.seen(target)
		if len(units) > 0 && !slices.ContainsFunc(seen, func(text string) bool { return !pattern.MatchString(text) }) {
			return nil
		}
		if settleErr != nil && !errors.Is(settleErr, model.ErrInError) || ctx.Err() != nil {
			return fmt.Errorf("%s is not %q: %q", target, pattern, seen)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
			s.retry() // as Juju does, for ever
			if err := s.updateStatus(units); err != nil {
				return err
			}
		}
	}
}

// seen returns the units that a unit or application name means, and the status
// and message of each.
func (s *Sim) seen(target string) (units, texts []string) {
	st := s.Model.Status()
	app, _, isUnit := strings.Cut(target, "/")
	for name, u := range st.Applications[app].Units {
		if !isUnit || name == target {
			units = append(units, name)
			texts = append(texts, u.Workload.Current+" "+u.Workload.Message)
		}
	}
	return units, texts
}

func hooksVerb(s *Sim, e Env) *cobra.Command {
	var format, hook string
	var last, maxCalls int
	cmd := &cobra.Command{
		Use: "hooks [unit]", Short: "List the hooks that ran: calls, bytes, time", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			unit := ""
			if len(args) > 0 {
				unit = args[0]
			}
			rs := s.Model.Records(unit)
			if hook != "" {
				rs = slices.DeleteFunc(rs, func(r model.Record) bool { return r.Hook != hook })
			}
			if last > 0 && len(rs) > last {
				rs = rs[len(rs)-last:]
			}
			if err := writeRecords(e, rs, format); err != nil {
				return err
			}
			if maxCalls < 0 {
				return nil
			}
			if len(rs) == 0 {
				return errors.New("no such hook ran")
			}
			for _, r := range rs {
				if r.Calls > maxCalls {
					return fmt.Errorf("%s of %s made %d hook tool calls, more than %d", r.Hook, r.Unit, r.Calls, maxCalls)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "tabular", "tabular or json")
	cmd.Flags().StringVar(&hook, "hook", "", "only hooks of this name")
	cmd.Flags().IntVar(&last, "last", 0, "only the last so many")
	cmd.Flags().IntVar(&maxCalls, "max-calls", -1, "an error if one made more hook tool calls")
	return cmd
}

func writeRecords(e Env, rs []model.Record, format string) error {
	switch format {
	case "json":
		return writeJSON(e, rs)
	case "tabular":
	default:
		return fmt.Errorf("unknown format %q", format)
	}
	w := tabwriter.NewWriter(e.Out, 0, 1, 2, ' ', 0)
	fmt.Fprintln(w, "Seq\tUnit\tHook\tResult\tExit\tCalls\tBytes\tTime\tCPU\tTools")
	for _, r := range rs {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%d\t%d\t%v\t%v\t%s\n", r.Seq, r.Unit, r.Hook, r.Result, r.Exit, r.Calls, r.Bytes,
			r.Duration.Round(time.Millisecond), r.CPU.Round(time.Millisecond), strings.Join(r.Tools, " "))
	}
	return w.Flush()
}

func debugLogVerb(s *Sim, e Env) *cobra.Command {
	return &cobra.Command{
		Use: "debug-log [unit]", Short: "Print the log of the hooks", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			unit := ""
			if len(args) > 0 {
				unit = args[0]
			}
			for _, line := range s.Model.Log(unit) {
				fmt.Fprintln(e.Out, line)
			}
			return nil
		},
	}
}

func bagVerb(s *Sim, e Env) *cobra.Command {
	var unsafe bool
	var format string
	cmd := &cobra.Command{
		Use: "bag <relation> <unit|application>", Short: "Print a databag; private keys are left out", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			values, err := s.Model.Bag(args[0], args[1])
			if err != nil {
				return err
			}
			for key, value := range values {
				if !unsafe && strings.Contains(value, "PRIVATE KEY") {
					values[key] = "[redacted]"
				}
			}
			switch format {
			case "json":
				return writeJSON(e, values)
			case "yaml":
				return writeYAML(e, values)
			}
			return fmt.Errorf("unknown format %q", format)
		},
	}
	cmd.Flags().BoolVar(&unsafe, "unsafe", false, "print private keys")
	cmd.Flags().StringVar(&format, "format", "yaml", "yaml or json")
	return cmd
}

func rootVerb(s *Sim, e Env) *cobra.Command {
	return &cobra.Command{
		Use: "root <unit|machine>", Short: "Print the root directory of a machine", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := s.machineArg(args[0])
			if err == nil {
				fmt.Fprintln(e.Out, s.Root(id))
			}
			return err
		},
	}
}

func addressVerb(s *Sim, e Env) *cobra.Command {
	return &cobra.Command{
		Use: "address <unit>", Short: "Print the address of a unit", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			u, err := s.Model.Unit(args[0])
			if err == nil {
				fmt.Fprintln(e.Out, u.Address)
			}
			return err
		},
	}
}

func sshVerb(s *Sim, e Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ssh <unit|machine> <command> [argument...]", Short: "Run a command as on the unit's machine", Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := s.machineArg(args[0])
			if err != nil {
				return err
			}
			root := s.Root(id)
			if err := errors.Join(os.MkdirAll(root, 0o755), s.linkCommands(id)); err != nil {
				return err
			}
			env := append([]string{
				"PATH=" + root + "/usr/local/bin:" + s.machineCommands(id) + ":" + hookPath, "HOME=" + root + "/root", "LANG=C.UTF-8", "TERM=dumb",
			}, s.env(id)...)
			// The command's name is looked up in the machine's own PATH.
			c := exec.CommandContext(cmd.Context(), "/usr/bin/env", args[1:]...)
			c.Dir, c.Env, c.Stdout, c.Stderr = root, env, e.Out, e.Err
			return c.Run()
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}
