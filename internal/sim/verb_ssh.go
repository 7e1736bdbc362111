package sim

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func sshVerb(s *Sim, e Env) *cobra.Command {
	var describe, pty bool
	cmd := &cobra.Command{
		Use:   "ssh <unit|machine> [command] [argument...]",
		Short: "Run a command, or a shell, as on the unit's machine; a leading sudo is accepted",
		Long: "Runs a command in the machine's directory, with its programs first in PATH; without a command a shell. One word is\n" +
			"taken as a line for the shell, several are taken as they are. Standard input is the command's. sudo changes\n" +
			"nothing, because the simulator's machines belong to whoever runs it. In scripts and in shell a command is\n" +
			"needed, and standard input is empty.",
		Example: "  juju-sim ssh etcd/0 sudo etcdctl member list\n  juju-sim ssh etcd/0 'etcdctl member list | wc -l'\n  juju-sim ssh etcd/leader",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			unit, err := s.unitArg(args[0])
			if err != nil {
				return err
			}
			id, err := s.machineArg(unit)
			if err != nil {
				return err
			}
			// env looks the command's name up in the machine's own PATH.
			c, err := s.machineCommand(cmd.Context(), id, "/usr/bin/env", login(args[1:])...)
			if err != nil {
				return err
			}
			if describe {
				return writeJSON(e, machine{unit, c.Dir, c.Env})
			}
			if len(args) < 2 {
				return errors.New("name a command: a shell is for the command line only")
			}
			c.Stdout, c.Stderr = e.Out, e.Err
			return c.Run()
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().BoolVar(&pty, "pty", false,
		"taken as Juju takes it; commands have this program's terminal, or none")
	cmd.Flags().BoolVar(&describe, "describe", false, "print what a program there runs in, as JSON")
	_ = cmd.Flags().MarkHidden("describe")
	return cmd
}

// login is a command as a login's shell takes it: one word is a line.
func login(words []string) []string {
	if len(words) == 1 {
		return []string{"sh", "-c", words[0]}
	}
	return words
}

// machine is the surroundings of a program on a machine.
type machine struct {
	Name string   `json:"name"`
	Dir  string   `json:"dir"`
	Env  []string `json:"env"`
}

// ssh runs a command on a machine of the running simulation, as a child of this program. The
// command has the terminal, and otherwise this program's standard input.
func (a *app) ssh(ctx context.Context, args []string) error {
	var out bytes.Buffer
	if err := Remote(
		ctx, a.where(), Env{Out: &out, Err: a.err}, "ssh", "--describe", args[0],
	); err != nil {
		return err
	}
	var m machine
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		return fmt.Errorf("cannot understand the simulation: %w", err)
	}
	command := login(args[1:])
	if len(command) == 0 {
		command = []string{"sh"}
	}
	c := exec.CommandContext(ctx, "/usr/bin/env", command...)
	c.Dir, c.Env = m.Dir, append(m.Env,
		"PS1="+m.Name+":$PWD$ ", "TERM="+cmp.Or(os.Getenv("TERM"), "dumb"))
	c.Stdin, c.Stdout, c.Stderr = a.in, a.out, a.err
	return c.Run()
}

// machineCommand prepares a program that is to run on a machine, in its root.
func (s *Sim) machineCommand(
	ctx context.Context, id int, program string, args ...string,
) (*exec.Cmd, error) {
	root := s.Root(id)
	if err := errors.Join(os.MkdirAll(root, 0o755), s.linkCommands(id), s.writeSudo()); err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = root
	c.Env = append([]string{
		"PATH=" + root + "/usr/local/bin:" + s.machineCommands(id) + ":" + s.loginDir() + ":" + hookPath,
		"HOME=" + root + "/root", "LANG=C.UTF-8", "TERM=dumb",
	}, s.env(id)...)
	return c, nil
}

// loginDir holds the commands that only a login on a machine finds.
func (s *Sim) loginDir() string { return filepath.Join(s.dir, "login") }

// sudo runs its command with the same rights and environment. The user already owns the machine,
// and this host's sudo would drop the machine's PATH.
const sudo = `#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    -[ughpCDU]) shift; [ $# -eq 0 ] || shift ;;
    -*) shift ;;
    [A-Za-z_]*=*) export "$1"; shift ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || { echo 'usage: sudo [-u user] command [argument...]' >&2; exit 1; }
exec "$@"
`

func (s *Sim) writeSudo() error {
	path := filepath.Join(s.loginDir(), "sudo")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(s.loginDir(), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(s.dir, "sudo-")
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(sudo)
	//nolint:gosec // a program
	return errors.Join(err, tmp.Chmod(0o755), tmp.Close(), os.Rename(tmp.Name(), path))
}

func scpVerb(s *Sim, e Env) *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use: "scp <source>... <destination>", Short: "Copy files from or to machines: etcd/0:var/lib/x .",
		Long: "Copies files between here and machines, or between machines. <unit>:<path> and <machine>:<path> mean a machine's\n" +
			"file. The path is relative to the machine's root, with or without a leading /, unless it begins with that root, like\n" +
			"the paths that actions print.",
		Example: "  juju-sim scp etcd/0:/var/lib/snapshot.db .\n  juju-sim scp -r 0:/etc/etcd-charm /tmp/seen",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			to, err := s.hostPath(e, args[len(args)-1])
			if err != nil {
				return err
			}
			for _, arg := range args[:len(args)-1] {
				from, err := s.hostPath(e, arg)
				if err != nil {
					return err
				}
				if err := scp(from, to, recursive); err != nil {
					return fmt.Errorf("cannot copy %s: %w", arg, err)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false,
		"copy directories with all that is in them")
	return cmd
}

// hostPath returns the path on this host for an argument of scp.
func (s *Sim) hostPath(e Env, arg string) (string, error) {
	who, path, remote := strings.Cut(arg, ":")
	if !remote || strings.HasPrefix(who, "/") || strings.HasPrefix(who, ".") {
		return e.path(arg), nil
	}
	unit, err := s.unitArg(who)
	if err != nil {
		return "", err
	}
	id, err := s.machineArg(unit)
	if err != nil {
		return "", err
	}
	root := s.Root(id)
	path = filepath.Join("/", path) // does not lead out of the machine by its dots
	if path == root || strings.HasPrefix(path, root+"/") {
		return path, nil // as actions print it: their processes see this host's paths
	}
	return filepath.Join(root, path), nil
}

func scp(from, to string, recursive bool) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if at, err := os.Stat(to); err == nil && at.IsDir() {
		to = filepath.Join(to, filepath.Base(from))
	}
	switch {
	case info.IsDir() && !recursive:
		return errors.New("not a regular file: use -r for a directory")
	case info.IsDir():
		return copyAll(from, to)
	}
	return replaceFile(from, to, info.Mode().Perm())
}

// copyAll copies the files of a directory tree, including hidden ones. It leaves out everything
// that is neither a file nor a directory.
func copyAll(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case info.Mode().IsRegular():
			return replaceFile(path, filepath.Join(to, rel), info.Mode().Perm())
		}
		return nil
	})
}

func replaceFile(from, to string, mode fs.FileMode) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return copyFile(from, to, mode)
}
