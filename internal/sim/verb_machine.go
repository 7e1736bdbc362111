package sim

import (
	"fmt"

	"github.com/spf13/cobra"
)

func readdressVerb(s *Sim, e Env) *cobra.Command {
	return &cobra.Command{
		Use: "readdress <unit|machine>", Short: "Give a machine a new address and print it: its units run config-changed", Args: cobra.ExactArgs(1),
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

func stopAgentsVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use: "stop-agents <unit|machine>", Short: "End the Juju agents of a machine and nothing else: its units hear nothing", Args: cobra.ExactArgs(1),
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
		Use: "start-agents <unit|machine>", Short: "Start the Juju agents that stop-agents ended", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := s.machineArg(args[0])
			if err != nil {
				return err
			}
			return s.Model.StartAgents(id)
		},
	}
}
