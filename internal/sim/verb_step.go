package sim

import (
	"fmt"

	"github.com/spf13/cobra"
)

func stepVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use:   "step <unit>",
		Short: "Run the next hook of a unit and no other; it is an error if none is queued",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.turn.Lock()
			defer s.turn.Unlock()
			_, ran, err := s.Model.Step(cmd.Context(), args[0], s)
			if err == nil && !ran {
				err = fmt.Errorf("no hook of %s is queued", args[0])
			}
			return err
		},
	}
}
