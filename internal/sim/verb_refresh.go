package sim

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func refreshVerb(s *Sim, e Env) *cobra.Command {
	var path string
	var revision int
	var except []string
	cmd := &cobra.Command{
		Use:   "refresh <application> --path <charm> | --revision <n>",
		Short: "Replace an application's charm, on all units or on all but some",
		Long: "Replaces an application's charm by a newer or an older one: each unit runs upgrade-charm and config-changed.\n" +
			"Every --path is a revision, counted from 0, which is what was deployed; --revision goes to one of those, as in\n" +
			"Juju for charms from Charmhub. A charm that would break a relation or lose storage is refused.\n" +
			"Units named by --except are left behind, like units whose agent is slow to notice: they keep the charm that\n" +
			"they have until follow, whatever refreshes come in between.",
		Example: "  juju-sim refresh etcd --path dist/etcd_amd64.charm\n  juju-sim refresh etcd --revision 0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			numbered := cmd.Flags().Changed("revision")
			switch {
			case numbered && path != "":
				return errors.New("--path and --revision are mutually exclusive")
			case !numbered && path == "":
				return errors.New("upgrading local charm requires either --path or --revision")
			case numbered:
				if err := s.Model.RefreshTo(args[0], revision, except...); err != nil {
					return err
				}
			default:
				ch, source, err := s.upload(e.path(path))
				if err != nil {
					return err
				}
				if err := s.Model.Refresh(args[0], ch, source, except...); err != nil {
					return err
				}
			}
			name, now, err := s.Model.Revision(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(e.Err, "Added local charm %q, revision %d, to the model\n", name, now)
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "path", "", "the new charm: a directory or a .charm archive")
	cmd.Flags().IntVar(&revision, "revision", 0, "a charm that the application had before")
	cmd.Flags().StringSliceVar(&except, "except", nil, "units to leave behind")
	return cmd
}

func followVerb(s *Sim, _ Env) *cobra.Command {
	return &cobra.Command{
		Use:   "follow <unit>...",
		Short: "Let units that a refresh left behind take up their application's charm",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return each(args, s.Model.Follow) },
	}
}
