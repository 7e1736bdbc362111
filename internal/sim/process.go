package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/juju/charm/v12/hooks"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

const hookPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"

// errSlow ends a hook that takes longer than Options.HookTimeout. A shorter deadline of the caller
// ends it with another error, because that is not the hook's fault.
var errSlow = errors.New("the hook took too long")

// Run runs a hook or an action as a process of the charm, the way Juju's agent
// does. It implements model.Runner.
func (s *Sim) Run(ctx context.Context, c *model.Context) (model.Outcome, error) {
	dir, err := s.place(c)
	if err != nil {
		return model.Outcome{}, fmt.Errorf("cannot deploy the charm: %w", err)
	}
	if err := s.linkCommands(c.Machine()); err != nil {
		return model.Outcome{}, fmt.Errorf("cannot give the machine a systemd: %w", err)
	}
	what := "hooks/" + c.Hook.Name()
	if c.Hook.Kind == hooks.Action {
		what = "actions/" + c.Hook.Name()
	}
	program := filepath.Join(dir, "dispatch")
	if _, err := os.Stat(program); err != nil {
		program = filepath.Join(dir, what)
		if _, err := os.Stat(program); errors.Is(err, os.ErrNotExist) {
			return model.Outcome{Missing: true}, nil
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.HookTimeout, errSlow)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Dir, cmd.Env = dir, s.environ(c, dir, what)
	// Its own process group, so that a Ctrl-C at the simulator does not reach the hook.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return s.start(ctx, c, cmd)
}

// start runs the process. Its output goes to files, because a service that the hook leaves behind
// may hold a pipe open without end.
func (s *Sim) start(ctx context.Context, c *model.Context, cmd *exec.Cmd) (model.Outcome, error) {
	tmp, err := os.MkdirTemp(s.dir, "out-")
	if err != nil {
		return model.Outcome{}, err
	}
	defer os.RemoveAll(tmp)
	stdout, err := os.Create(filepath.Join(tmp, "stdout"))
	if err != nil {
		return model.Outcome{}, err
	}
	defer stdout.Close()
	stderr, err := os.Create(filepath.Join(tmp, "stderr"))
	if err != nil {
		return model.Outcome{}, err
	}
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		return model.Outcome{}, fmt.Errorf("cannot start: %w", err)
	}
	// The process may already have ended by itself.
	c.OnKill(func() { _ = cmd.Process.Kill() })
	err = cmd.Wait()
	out := model.Outcome{CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	out.Stdout, _ = os.ReadFile(stdout.Name())
	out.Stderr, _ = os.ReadFile(stderr.Name())
	var exit *exec.ExitError
	switch {
	case errors.Is(context.Cause(ctx), errSlow):
		return out, fmt.Errorf("took longer than %v", s.opts.HookTimeout)
	case errors.As(err, &exit):
		out.Code = exit.ExitCode()
		if out.Code < 0 {
			out.Code, out.Killed = 1, true
		}
		return out, nil
	case ctx.Err() != nil:
		out.Code, out.Killed = 1, true
		return out, nil
	}
	return out, err
}

// environ returns the whole environment of a hook; nothing is inherited.
func (s *Sim) environ(c *model.Context, dir, what string) []string {
	h := c.Hook
	name := h.Name()
	if h.Kind == hooks.Action {
		name = ""
	}
	env := []string{
		"APT_LISTCHANGES_FRONTEND=none", "DEBIAN_FRONTEND=noninteractive",
		"LANG=C.UTF-8", "TERM=tmux-256color",
		"PATH=" + s.machineCommands(c.Machine()) + ":" + s.toolsDir() + ":" + hookPath,
		"CHARM_DIR=" + dir, "JUJU_CHARM_DIR=" + dir,
		"CLOUD_API_VERSION=", "JUJU_API_ADDRESSES=127.0.0.1:17070",
		"JUJU_AVAILABILITY_ZONE=" + s.Model.Zone(c.Machine()), "JUJU_PRINCIPAL_UNIT=",
		"JUJU_CHARM_HTTP_PROXY=", "JUJU_CHARM_HTTPS_PROXY=",
		"JUJU_CHARM_FTP_PROXY=", "JUJU_CHARM_NO_PROXY=",
		"JUJU_CONTEXT_ID=" + c.ID, "JUJU_HOOK_NAME=" + name, "JUJU_DISPATCH_PATH=" + what,
		"JUJU_AGENT_SOCKET_NETWORK=unix", "JUJU_AGENT_SOCKET_ADDRESS=" + s.tools.address,
		"JUJU_UNIT_NAME=" + c.Unit(), fmt.Sprintf("JUJU_MACHINE_ID=%d", c.Machine()),
		"JUJU_MODEL_NAME=" + s.Model.Name(), "JUJU_MODEL_UUID=" + s.Model.UUID(),
		"JUJU_VERSION=" + s.Model.Rules.Version,
	}
	if h.Endpoint != "" {
		env = append(env, "JUJU_RELATION="+h.Endpoint, "JUJU_RELATION_ID="+h.RelationKey(),
			"JUJU_REMOTE_APP="+h.RemoteApp, "JUJU_REMOTE_UNIT="+h.RemoteUnit)
		if h.Departing != "" {
			env = append(env, "JUJU_DEPARTING_UNIT="+h.Departing)
		}
	}
	if h.Kind == hooks.Action {
		env = append(env, "JUJU_ACTION_NAME="+h.Action,
			"JUJU_ACTION_UUID="+c.ActionID(), "JUJU_ACTION_TAG=action-"+c.ActionID())
	}
	if h.Secret != "" {
		env = append(env, "JUJU_SECRET_ID="+h.Secret, "JUJU_SECRET_LABEL="+h.SecretLabel,
			fmt.Sprintf("JUJU_SECRET_REVISION=%d", h.SecretRevision))
	}
	return append(env, s.env(c.Machine())...)
}
