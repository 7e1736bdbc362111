package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	etcdversion "go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/etcdctl/v3/ctlv3"
	"go.etcd.io/etcd/etcdutl/v3/etcdutl"

	"github.com/juju-charms/etcd-charm/internal/host"
	"github.com/juju-charms/etcd-charm/internal/proxy"
	"github.com/juju-charms/etcd-charm/internal/webproxy"
)

// execute runs a command and returns the exit code; cobra has already printed the error.
func execute(cmd *cobra.Command) int {
	if err := cmd.Execute(); err != nil {
		return 1
	}
	return 0
}

// ownCommand is the program under its own name: the commands that the service manager runs, and
// those for people.
func ownCommand(ctx context.Context) *cobra.Command {
	root := &cobra.Command{
		Use:           "etcd-charm",
		Short:         "The etcd charm's program: hooks, actions, etcd and its tools, and the proxy, each by the name that it is called by",
		SilenceUsage:  true,
		SilenceErrors: false,
	}
	root.SetContext(ctx)
	root.CompletionOptions.DisableDefaultCmd = true
	var config string
	run := &cobra.Command{
		Use:   "proxy --config FILE",
		Short: "Carry local plaintext connections to the cluster over mutual TLS",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return proxy.Main(cmd.Context(), config)
		},
	}
	run.Flags().StringVar(&config, "config", "",
		"file with the addresses to listen on and the members to reach; changes to it are followed")
	if err := run.MarkFlagRequired("config"); err != nil {
		panic(err) // the flag is defined two lines above
	}
	root.AddCommand(run, workCommand(),
		&cobra.Command{
			Use: "version", Short: "Print the versions of the charm and of etcd", Args: cobra.NoArgs,
			Run: func(cmd *cobra.Command, _ []string) {
				fmt.Fprintf(cmd.OutOrStdout(), "etcd-charm %s\netcd %s\nstamp %s\n%s %s/%s\n",
					version, etcdversion.Version, cmp.Or(stamp, "none"),
					runtime.Version(), runtime.GOOS, runtime.GOARCH)
			},
		},
	)
	return root
}

// gateCommand judges whether a member may start, and sets the exit code.
func gateCommand(code *int) *cobra.Command {
	var fence string
	cmd := &cobra.Command{
		Use:   host.GateName + " --fence FILE",
		Short: "Ask the peers whether this member may start",
		Args:  cobra.NoArgs, SilenceUsage: true,
		Run: func(cmd *cobra.Command, _ []string) {
			*code = host.Gate(cmd.Context(), fence, os.Getenv, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&fence, "fence", "", "file with the replaced clusters and the peers to ask")
	if err := cmd.MarkFlagRequired("fence"); err != nil {
		panic(err) // the flag is defined two lines above
	}
	return cmd
}

// workCommand does long work, for transient services and for the timer's service.
func workCommand() *cobra.Command {
	var request, due, charmDir string
	cmd := &cobra.Command{
		Use:   "work --request FILE | --due FILE",
		Short: "Do what a hook has asked for, or take a snapshot if one is due",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			webproxy.Unset()
			self, err := os.Executable() // links resolved
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(os.Stderr, nil))
			h, err := host.ForWork(cmp.Or(request, due), host.Options{Log: log, Stamp: stamp, Binary: self})
			if err != nil {
				return err
			}
			if due != "" {
				return h.Due(cmd.Context(), charmDir)
			}
			return h.Work(cmd.Context(), request, charmDir, h.Kinds())
		},
	}
	cmd.Flags().StringVar(&request, "request", "", "file with the request")
	cmd.Flags().StringVar(&due, "due", "", "file with the schedule of snapshots")
	cmd.Flags().StringVar(&charmDir, "charm", "",
		"the charm's directory, whose hook update-status is run at the end; if empty, none is")
	cmd.MarkFlagsMutuallyExclusive("request", "due")
	cmd.MarkFlagsOneRequired("request", "due")
	return cmd
}

// etcdutlCommand rebuilds etcdutl's root command, which its module keeps in its own package main
// (etcdutl/v3 ctl.go).
func etcdutlCommand() *cobra.Command {
	root := &cobra.Command{Use: "etcdutl", Short: "An administrative command line tool for etcd3."}
	flags := root.PersistentFlags()
	flags.DurationVar(&etcdutl.FlockTimeout, "timeout", 10*time.Second,
		"time to wait to obtain a file lock on db file, 0 to block indefinitely")
	flags.StringVarP(&etcdutl.OutputFormat, "write-out", "w", "simple",
		"set the output format (fields, json, protobuf, simple, table)")
	root.AddCommand(
		etcdutl.NewDefragCommand(), etcdutl.NewSnapshotCommand(), etcdutl.NewHashKVCommand(),
		etcdutl.NewVersionCommand(), etcdutl.NewCompletionCommand(), etcdutl.NewMigrateCommand(),
	)
	return root
}

// etcdctl is etcdctl. On a unit it needs no flags: the endpoints and certificates are preset,
// unless a flag or the environment sets them.
func etcdctl() int {
	webproxy.Unset()
	executable, err := os.Executable() // links resolved
	if err == nil {
		var preset []string
		if preset, err = host.EtcdctlEnv(executable); err == nil {
			for _, line := range unsaid(preset, os.Args[1:], os.LookupEnv) {
				key, value, _ := strings.Cut(line, "=")
				if err := os.Setenv(key, value); err != nil {
					fmt.Fprintln(os.Stderr, "etcdctl:", err)
					return 1
				}
			}
		}
	}
	// Without the presets etcdctl would speak plaintext to a TLS port until its timeout.
	if said := len(unsaid(
		[]string{"ETCDCTL_ENDPOINTS="}, os.Args[1:], os.LookupEnv,
	)) == 0; err != nil && asks(os.Args[1:]) && !said {
		fmt.Fprintf(os.Stderr,
			"etcdctl: %v: run sudo etcdctl, which may read this unit's endpoints and certificates, or give --endpoints\n",
			err)
		return 1
	}
	ctlv3.MustStart()
	return 0
}

// asks reports whether a command asks a server, and does not only print something of etcdctl's own.
func asks(args []string) bool {
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		return false
	}
	at := slices.IndexFunc(args, func(arg string) bool { return !strings.HasPrefix(arg, "-") })
	return at >= 0 && !slices.Contains([]string{"version", "help", "completion"}, args[at])
}

// unsaid returns the lines "ETCDCTL_NAME=value" that neither the environment nor a flag sets:
// etcdctl ends with an error if both set one (client/pkg/v3 flags, verifyEnv).
func unsaid(lines, args []string, env func(string) (string, bool)) []string {
	said := map[string]bool{}
	for _, arg := range args {
		if arg == "--" {
			break
		}
		if flag, ok := strings.CutPrefix(arg, "--"); ok {
			flag, _, _ = strings.Cut(flag, "=")
			said["ETCDCTL_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))] = true
		}
	}
	var out []string
	for _, line := range lines {
		key, _, ok := strings.Cut(line, "=")
		if _, set := env(key); ok && !set && !said[key] {
			out = append(out, line)
		}
	}
	return out
}
