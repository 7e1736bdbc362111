package sim

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

var faultVerbs = []verb{
	killVerb, powerOffVerb, bootVerb, readdressVerb, zoneVerb, stopAgentsVerb, startAgentsVerb,
	crashVerb, diskFullVerb, diskFreeVerb, vanishRelationVerb,
}

// machineArg resolves a machine number or the name of a unit on it.
func (s *Sim) machineArg(arg string) (int, error) {
	if n, err := strconv.Atoi(arg); err == nil {
		if _, ok := s.Model.Status().Machines[arg]; !ok {
			return 0, fmt.Errorf("machine %d not found", n)
		}
		return n, nil
	}
	u, err := s.Model.Unit(arg)
	return u.Machine, err
}

func killVerb(s *Sim, e Env) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "kill <unit|machine> [pattern]", Aliases: []string{"kill-unit"},
		Short: "Send a signal to processes of a unit's machine",
		Long:  "Sends SIGKILL, or another signal, to the processes of a unit's machine whose command line matches the pattern.",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := s.machineArg(args[0])
			if err != nil {
				return err
			}
			pattern := regexp.MustCompile("")
			if len(args) == 2 {
				if pattern, err = regexp.Compile(args[1]); err != nil {
					return err
				}
			}
			sig := unix.SignalNum("SIG" + name)
			if sig == 0 {
				return fmt.Errorf("unknown signal %q", name)
			}
			return s.kill(e, id, pattern, sig)
		},
	}
	cmd.Flags().StringVarP(&name, "signal", "s", "KILL", "the signal: KILL, TERM, STOP, CONT ...")
	return cmd
}

func (s *Sim) kill(e Env, machine int, pattern *regexp.Regexp, sig syscall.Signal) error {
	ps, err := s.processes(machine)
	if err != nil {
		return err
	}
	hit := 0
	for _, p := range ps {
		if !pattern.MatchString(p.args) {
			continue
		}
		if err := s.signal(machine, p.pid, sig); err != nil {
			return fmt.Errorf("cannot signal %d: %w", p.pid, err)
		}
		fmt.Fprintf(e.Out, "%d %s\n", p.pid, p.args)
		hit++
	}
	if hit == 0 {
		return fmt.Errorf("no process of machine %d matches %q", machine, pattern)
	}
	return nil
}

func powerOffVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use:   "power-off <unit|machine>",
		Short: "Stop a machine at once: all processes end, its agents get no events",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := s.machineArg(args[0])
			if err != nil {
				return err
			}
			return s.PowerOff(id)
		},
	}
}

func bootVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use: "boot <unit|machine>", Aliases: []string{"reboot"},
		Short: "Start a machine that is off, or restart one that is on: its units run start",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := s.machineArg(args[0])
			if err != nil {
				return err
			}
			if err := s.killAll(id); err != nil {
				return err
			}
			// /run is in memory, so it does not survive a boot.
			if err := os.RemoveAll(s.Root(id) + "/run"); err != nil {
				return err
			}
			if err := s.Model.Boot(id); err != nil {
				return err
			}
			return s.manager(id).Boot()
		},
	}
}

func crashVerb(s *Sim, _ Env) *cobra.Command {
	var after bool
	cmd := &cobra.Command{
		Use: "crash-after <n> [unit]", Short: "Kill the next hook at its n-th hook tool call",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 {
				return fmt.Errorf("expected the number of a call, got %q", args[0])
			}
			unit := ""
			if len(args) == 2 {
				unit = args[1]
			}
			s.Model.SetCrash(model.Crash{Unit: unit, Call: n, After: after})
			return nil
		},
	}
	cmd.Flags().BoolVar(&after, "executed", false, "let the call have its effect first")
	return cmd
}

func vanishRelationVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use:   "vanish-relation <application[:endpoint]> <application[:endpoint]>",
		Short: "Delete a relation; the units of the first application never see it end",
		Long: "Deletes a relation as Juju 4.0 may do on the offering side of a cross-model relation: units of the first\n" +
			"application run departed, but never broken. Until their agents start again (start-agents, boot), relation-ids\n" +
			"lists it, relation-get says \"relation not found\" and relation-set fails. The other side gets all events.",
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error { return s.Model.Vanish(args[0], args[1]) },
	}
}
