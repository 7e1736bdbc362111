package sim

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func readdressVerb(s *Sim, e Env) *cobra.Command {
	return &cobra.Command{
		Use:   "readdress <unit|machine>",
		Short: "Give a machine a new address and print it: its units run config-changed",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := s.machineArg(args[0])
			if err != nil {
				return err
			}
			address, err := s.Model.Readdress(id)
			if err == nil {
				fmt.Fprintln(e.Out, address)
			}
			return err
		},
	}
}

func zoneVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use:   "zone <unit|machine> <zone>",
		Short: "Put a machine into an availability zone, which its later hooks see",
		Args:  cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := s.machineArg(args[0])
			if err != nil {
				return err
			}
			return s.Model.SetZone(id, args[1])
		},
	}
}

func diskFullVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use:   "disk-full <unit|machine>",
		Short: "Refuse what the processes of a machine, and those they start, write to files",
		Long: "Refuses what the processes that run on a machine, and those they start, write to files: EFBIG, where a full disk\n" +
			"says ENOSPC. Hooks that start later are not affected.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return s.limitFiles(args[0], 0) },
	}
}

func diskFreeVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use: "disk-free <unit|machine>", Short: "End what disk-full began", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return s.limitFiles(args[0], unix.RLIM_INFINITY)
		},
	}
}

// limitFiles bounds the size of the files that the processes of a machine write, as far as the hard
// limit allows. It repeats until it finds no new process, because one may be started meanwhile with
// the old limit.
func (s *Sim) limitFiles(arg string, size uint64) error {
	id, err := s.machineArg(arg)
	if err != nil {
		return err
	}
	if err := s.manager(id).LimitFiles(size); err != nil {
		return err
	}
	for done := map[int]bool{}; ; {
		ps, err := s.processes(id)
		if err != nil {
			return err
		}
		before := len(done)
		for _, p := range ps {
			var limit unix.Rlimit
			err := unix.Prlimit(p.pid, unix.RLIMIT_FSIZE, nil, &limit)
			if err == nil && !done[p.pid] {
				limit.Cur = min(size, limit.Max)
				err = unix.Prlimit(p.pid, unix.RLIMIT_FSIZE, &limit, nil)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("cannot limit the files of %d: %w", p.pid, err)
			}
			done[p.pid] = true
		}
		if len(done) == before {
			return nil
		}
	}
}

func stopAgentsVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use:   "stop-agents <unit|machine>",
		Short: "Stop the Juju agents of a machine and nothing else: its units get no events",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := s.machineArg(args[0])
			if err != nil {
				return err
			}
			return s.Model.StopAgents(id)
		},
	}
}

func startAgentsVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use: "start-agents <unit|machine>", Short: "Start the Juju agents that stop-agents stopped",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := s.machineArg(args[0])
			if err != nil {
				return err
			}
			return s.Model.StartAgents(id)
		},
	}
}
