package sim

import "github.com/spf13/cobra"

func refreshVerb(s *Sim, e Env) *cobra.Command {
	var path string
	var except []string
	cmd := &cobra.Command{
		Use: "refresh <application> --path <charm>", Short: "Replace an application's charm, on all units or on all but some",
		Long: "Replaces an application's charm by a newer or an older one: each unit runs upgrade-charm and config-changed.\n" +
			"A charm that would break a relation or lose storage is refused.\n" +
			"Units named by --except are left behind, as units are whose agent is slow to hear of it: they go on with the\n" +
			"charm that they have until follow, whatever refreshes come meanwhile.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			ch, source, err := s.upload(e.path(path))
			if err != nil {
				return err
			}
			return s.Model.Refresh(args[0], ch, source, except...)
		},
	}
	cmd.Flags().StringVar(&path, "path", "", "the new charm: a directory or a .charm archive")
	cmd.Flags().StringSliceVar(&except, "except", nil, "units to leave behind")
	_ = cmd.MarkFlagRequired("path")
	return cmd
}

func followVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use: "follow <unit>...", Short: "Let units that a refresh left behind take up their application's charm",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return each(args, s.Model.Follow) },
	}
}
