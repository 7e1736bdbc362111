package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// lookVerbs show the model and its machines as Juju's do; simVerbs and faultVerbs are juju-sim's
// own.
var (
	lookVerbs = []verb{
		statusVerb, showUnitVerb, actionsVerb, secretsVerb, showSecretVerb, debugLogVerb,
		sshVerb, scpVerb,
	}
	simVerbs = []verb{
		waitVerb, settleVerb, stepVerb, updateStatusVerb, leaderVerb, followVerb, hooksVerb,
		bagVerb, rootVerb, addressVerb, checkPortsVerb,
	}
)

// byNumber orders etcd/2 before etcd/10.
func byNumber(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) }

func settleVerb(s *Sim, _ Env) *cobra.Command {
	var timeout time.Duration
	var rounds int
	cmd := &cobra.Command{
		Use: "settle", Short: "Run hooks until none is queued; units left in error are an error",
		Args: cobra.NoArgs,
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
	cmd.Flags().IntVar(&rounds, "update-status", 0,
		"then run update-status on every unit, this many times")
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
		Use: "update-status [unit...]", Short: "Queue update-status, on all units unless some are named",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = s.Model.Units("")
			}
			return s.updateStatus(args)
		},
	}
}

func waitVerb(s *Sim, e Env) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "wait <unit|application> <regexp>", Aliases: []string{"wait-for"},
		Short: "Run hooks until a unit's, or every unit's, status and message match",
		Long: "Runs hooks until \"<status> <message>\" matches the regular expression: queued hooks first,\n" +
			"then every second update-status and the hooks that failed. While it waits it prints what it waits for and what there\n" +
			"is instead. (Juju's wait-for takes queries; this is a different command.)",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			pattern, err := regexp.Compile(args[1])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), cmp.Or(timeout, s.opts.Patience))
			defer cancel()
			return s.wait(ctx, e, args[0], pattern)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long (default 5m)")
	return cmd
}

func (s *Sim) wait(ctx context.Context, e Env, target string, pattern *regexp.Regexp) error {
	target, err := s.unitArg(target)
	if err != nil {
		return err
	}
	name, _, isUnit := strings.Cut(target, "/")
	app, ok := s.Model.Status().Applications[name]
	if !ok {
		return fmt.Errorf("application %q not found", name)
	}
	if _, ok := app.Units[target]; isUnit && !ok {
		return fmt.Errorf("unit %q not found", target)
	}
	said := ""
	for {
		_, seen, match := s.seen(target, pattern)
		if now := strings.Join(slices.Compact(seen), "; "); now != said && !match {
			fmt.Fprintf(e.Err, "waiting until %s is %q; it is: %s\n", target, pattern, now)
			said = now
		}
		// A wait may be for a unit in error; any other error ends it.
		settleErr := s.Settle(ctx)
		units, seen, match := s.seen(target, pattern)
		if match {
			return nil
		}
		if settleErr != nil && !errors.Is(settleErr, model.ErrInError) || ctx.Err() != nil {
			return fmt.Errorf("%s is not %q: %q", target, pattern, seen)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
			s.retry() // as Juju does, without end
			if err := s.updateStatus(units); err != nil {
				return err
			}
		}
	}
}

// seen returns the units that a unit or application name means, the status and message of each,
// sorted, and whether all of those match; without units nothing matches.
func (s *Sim) seen(target string, pattern *regexp.Regexp) (units, texts []string, match bool) {
	st := s.Model.Status()
	app, _, isUnit := strings.Cut(target, "/")
	match = true
	for name, u := range st.Applications[app].Units {
		if isUnit && name != target {
			continue
		}
		text := u.Workload.Current + " " + u.Workload.Message
		match = match && pattern.MatchString(text)
		units, texts = append(units, name), append(texts, strings.TrimSpace(text))
	}
	slices.Sort(texts)
	return units, texts, match && len(units) > 0
}

func hooksVerb(s *Sim, e Env) *cobra.Command {
	var format, hook string
	var last, maxCalls int
	cmd := &cobra.Command{
		Use: "hooks [unit]", Short: "List the hooks that ran: calls, bytes, time",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			unit := ""
			if len(args) > 0 {
				unit = args[0]
			}
			rs := s.Model.Records(unit)
			if err := s.logged(unit); unit != "" && len(rs) == 0 && err != nil {
				return err
			}
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
					return fmt.Errorf("%s of %s made %d hook tool calls, more than %d",
						r.Hook, r.Unit, r.Calls, maxCalls)
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
		return fmt.Errorf("unknown format %q: it is tabular or json", format)
	}
	w := tabwriter.NewWriter(e.Out, 0, 1, 2, ' ', 0)
	fmt.Fprintln(w, "Seq\tUnit\tHook\tResult\tExit\tCalls\tBytes\tTime\tCPU\tTools")
	for _, r := range rs {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%d\t%d\t%v\t%v\t%s\n",
			r.Seq, r.Unit, r.Hook, r.Result, r.Exit, r.Calls, r.Bytes,
			r.Duration.Round(time.Millisecond), r.CPU.Round(time.Millisecond), strings.Join(r.Tools, " "))
	}
	return w.Flush()
}

func bagVerb(s *Sim, e Env) *cobra.Command {
	var unsafe bool
	var format string
	cmd := &cobra.Command{
		Use: "bag <relation> <unit|application>", Short: "Print a databag; private keys are left out",
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			values, err := s.Model.Bag(args[0], args[1])
			if err != nil {
				return err
			}
			if !unsafe {
				redactBag(values)
			}
			return writeAs(e, format, values)
		},
	}
	cmd.Flags().BoolVar(&unsafe, "unsafe", false, "print private keys")
	cmd.Flags().StringVar(&format, "format", "yaml", "yaml or json")
	return cmd
}

func rootVerb(s *Sim, e Env) *cobra.Command {
	return &cobra.Command{
		Use: "root <unit|machine>", Short: "Print the root directory of a machine",
		Args: cobra.ExactArgs(1),
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
