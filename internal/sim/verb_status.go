package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

func statusVerb(s *Sim, e Env) *cobra.Command {
	var v view
	var watch time.Duration
	cmd := &cobra.Command{
		Use: "status [application|unit...]", Short: "Show the model",
		Long: "Shows the model, or some of its applications and units. The table shows messages whole, where Juju\n" +
			"cuts them; --relations shows the number of each relation, which suspend-relation takes.",
		RunE: func(cmd *cobra.Command, args []string) error {
			v.only = args
			switch {
			case watch < 0:
				return fmt.Errorf("--watch must not be negative, got %s", watch)
			case watch == 0:
				return v.write(s, e)
			}
			return v.watch(cmd.Context(), s, e, watch)
		},
	}
	cmd.Flags().StringVar(&v.format, "format", "tabular", "tabular, yaml or json")
	cmd.Flags().BoolVar(&v.relations, "relations", false, "show relations too")
	cmd.Flags().DurationVar(&watch, "watch", 0, "show it again this often, such as 1s, until Ctrl-C")
	return cmd
}

// view says what of the status is shown, and how.
type view struct {
	format    string
	relations bool
	only      []string
}

func (v view) write(s *Sim, e Env) error {
	st := s.Model.Status()
	if err := v.narrow(&st); err != nil {
		return err
	}
	switch v.format {
	case "tabular":
		return writeStatus(e, st, v.relations)
	case "yaml", "json":
		return writeAs(e, v.format, st)
	}
	return fmt.Errorf("unknown format %q: it is tabular, yaml or json", v.format)
}

// narrow keeps what was asked for: applications, and their units.
func (v view) narrow(st *model.Status) error {
	if len(v.only) == 0 {
		return nil
	}
	left := map[string]model.ApplicationStatus{}
	for _, arg := range v.only {
		name, _, isUnit := strings.Cut(arg, "/")
		app, ok := st.Applications[name]
		if !ok {
			return fmt.Errorf("application %q not found", name)
		}
		if isUnit {
			if _, ok := app.Units[arg]; !ok {
				return fmt.Errorf("unit %q not found", arg)
			}
			units := map[string]model.UnitStatus{arg: app.Units[arg]}
			if before, ok := left[name]; ok {
				maps.Copy(units, before.Units)
			}
			app.Units = units
		}
		left[name] = app
	}
	st.Applications = left
	return nil
}

// watch ends with ctx, or when its reader is gone.
func (v view) watch(ctx context.Context, s *Sim, e Env, every time.Duration) error {
	const home = "\x1b[H\x1b[2J"
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if e.Terminal {
			fmt.Fprint(e.Out, home)
		}
		if err := v.write(s, e); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if !e.Terminal {
				fmt.Fprintln(e.Out)
			}
		}
	}
}

func writeStatus(e Env, st model.Status, relations bool) error {
	w := tabwriter.NewWriter(e.Out, 0, 1, 2, ' ', 0)
	fmt.Fprintf(w, "Model\tJuju\n%s\t%s\n\n", st.Model.Name, st.Model.Version)
	fmt.Fprintln(w, "App\tVersion\tStatus\tScale\tCharm\tRev\tMessage")
	names := slices.Sorted(maps.Keys(st.Applications))
	for _, name := range names {
		a := st.Applications[name]
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%d\t%s\n",
			name, a.Version, a.Status.Current, a.Scale, a.Charm, a.Rev, a.Status.Message)
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
