package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
)

func checkPortsVerb(s *Sim, _ Env) *cobra.Command {
	var machines int
	cmd := &cobra.Command{
		Use:   "check-ports <port>...",
		Short: "Fail if something already listens where the next machines are to listen",
		Long: "Checks whether ports are free at the addresses of the next machines. A program on this host that listens on\n" +
			"0.0.0.0 takes the port at all of them.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			first := len(s.machines())
			for _, port := range args {
				if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
					return fmt.Errorf("invalid port %q", port)
				}
				for id := first; id < first+machines; id++ {
					if err := free(cmd.Context(), net.JoinHostPort(s.slot.address(id), port)); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVarP(&machines, "machines", "n", 1, "number of machines to check for")
	return cmd
}

// free returns why a process cannot listen on an address.
func free(ctx context.Context, address string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(address)
		return fmt.Errorf(
			"port %s is taken on this host (%s): end what listens there, which \"ss -ltnp 'sport = :%s'\" names",
			port, address, port)
	}
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return l.Close()
}
