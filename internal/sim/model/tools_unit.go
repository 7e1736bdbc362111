package model

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Limits of state-set, in bytes (Juju 3.6).
const (
	maxStateKey   = 256
	maxStateValue = 64 << 10
	maxState      = 2 << 20
)

// answer prints one value of a map by key, or the whole map.
func answer[V any](k *call, values map[string]V) error {
	if err := k.atMost(1); err != nil {
		return err
	}
	if len(k.args) == 0 || k.args[0] == "-" || k.args[0] == "" {
		if values == nil {
			values = map[string]V{}
		}
		return k.write(values)
	}
	if value, ok := values[k.args[0]]; ok {
		return k.write(value)
	}
	return k.write(nil)
}

func configGet(k *call) error { return answer(k, k.u.app.config()) }

func isLeader(k *call) error { return k.write(k.u.app.leader == k.u.name) }

func leaderGet(k *call) error { return answer(k, k.u.app.leaderSettings) }

// leaderSet writes at once, as Juju does.
func leaderSet(k *call) error {
	if k.u.app.leader != k.u.name {
		return errors.New(
			"cannot write leadership settings: cannot merge leadership settings: this unit is not the leader")
	}
	values, err := keyValues(k.args)
	if err != nil {
		return err
	}
	for key, value := range values {
		if value == "" {
			delete(k.u.app.leaderSettings, key)
		} else {
			k.u.app.leaderSettings[key] = value
		}
	}
	return nil
}

// stateGet prints the empty string for a key that does not exist.
func stateGet(k *call) error {
	if len(k.args) == 1 && k.args[0] != "-" && k.args[0] != "" {
		value, ok := k.viewState()[k.args[0]]
		if strict, _ := k.flags.GetBool("strict"); strict && !ok {
			return fmt.Errorf("%q not found", k.args[0])
		}
		return k.write(value)
	}
	return answer(k, k.viewState())
}

func stateSet(k *call) error {
	path, _ := k.flags.GetString("file")
	values, err := k.settings(path)
	if err != nil {
		return err
	}
	for key, value := range values {
		switch {
		case len(key) > maxStateKey:
			return fmt.Errorf("max allowed key length (%d) exceeded", maxStateKey)
		case len(value) > maxStateValue:
			return fmt.Errorf("max allowed value length (%d) exceeded", maxStateValue)
		}
	}
	for key, value := range values {
		k.record.Bytes += len(key) + len(value)
		k.state[key] = &value
	}
	return nil
}

// stateDelete deletes nothing if no key is given.
func stateDelete(k *call) error {
	if err := k.atMost(1); err != nil || len(k.args) == 0 {
		return err
	}
	k.state[k.args[0]] = nil
	return nil
}

var settable = []string{"maintenance", "blocked", "waiting", "active"}

func statusSet(k *call) error {
	if len(k.args) == 0 {
		return usagef("invalid args, require <status> [message]")
	}
	if !slices.Contains(settable, k.args[0]) {
		return usagef("invalid status %q, expected one of %v", k.args[0], settable)
	}
	if err := k.atMost(2); err != nil {
		return err
	}
	s := StatusInfo{Current: k.args[0], Since: k.m.opts.Now()}
	if len(k.args) > 1 {
		s.Message = k.args[1]
	}
	if app, _ := k.flags.GetBool("application"); app {
		if k.u.app.leader != k.u.name {
			return errors.New("this unit is not the leader")
		}
		k.u.app.status = &s
		return nil
	}
	k.u.workload = s
	return nil
}

func statusGet(k *call) error {
	s := k.u.workload
	if app, _ := k.flags.GetBool("application"); app {
		if k.u.app.leader != k.u.name {
			return errors.New("this unit is not the leader")
		}
		s = k.m.appStatus(k.u.app)
	}
	if data, _ := k.flags.GetBool("include-data"); data {
		return k.write(map[string]any{
			"status": s.Current, "message": s.Message, "status-data": map[string]any{},
		})
	}
	return k.write(s.Current)
}

func versionSet(k *call) error {
	if len(k.args) != 1 {
		return usagef("no version specified")
	}
	k.u.app.version = k.args[0]
	return nil
}

func jujuLog(k *call) error {
	if len(k.args) == 0 {
		return usagef("no message specified")
	}
	level, _ := k.flags.GetString("log-level")
	if debug, _ := k.flags.GetBool("debug"); debug {
		level = "DEBUG"
	}
	text := strings.Join(k.args, " ")
	if k.Hook.Endpoint != "" { // Juju names the hook's relation
		text = k.Hook.RelationKey() + ": " + text
	}
	k.m.logf(k.u, strings.ToUpper(level), "juju-log", "%s", text)
	return nil
}

func jujuReboot(k *call) error {
	if k.act != nil {
		return errors.New("juju-reboot is not supported when running an action")
	}
	k.m.logf(k.u, "INFO", "juju-reboot", "a reboot was asked for")
	return nil
}

func unitGet(k *call) error {
	if len(k.args) != 1 || k.args[0] != "private-address" && k.args[0] != "public-address" {
		return usagef("unknown setting %q", strings.Join(k.args, " "))
	}
	return k.write(k.u.machine.address)
}

var portRange = regexp.MustCompile(`^(?:([0-9]+)(?:-([0-9]+))?(?:/(tcp|udp))?|icmp)$`)

// portArg puts a port in the form "2379/tcp", "100-200/udp" or "icmp".
func (k *call) portArg() (string, error) {
	if len(k.args) != 1 {
		return "", usagef("no port or range specified")
	}
	p := portRange.FindStringSubmatch(strings.ToLower(k.args[0]))
	if p == nil {
		return "", usagef("expected <port>[/<protocol>] or <from>-<to>[/<protocol>] or icmp; got %q",
			k.args[0])
	}
	if p[1] == "" {
		return "icmp", nil
	}
	from, _ := strconv.Atoi(p[1])
	to := from
	if p[2] != "" {
		to, _ = strconv.Atoi(p[2])
	}
	if from < 1 || to > 65535 || from > to {
		return "", usagef("invalid port range %s", k.args[0])
	}
	proto := p[3]
	if proto == "" {
		proto = "tcp"
	}
	if from == to {
		return fmt.Sprintf("%d/%s", from, proto), nil
	}
	return fmt.Sprintf("%d-%d/%s", from, to, proto), nil
}

func setPort(open bool) func(k *call) error {
	return func(k *call) error {
		port, err := k.portArg()
		if err != nil {
			return err
		}
		k.ports[port] = open
		return nil
	}
}

// openedPorts shows what is committed: Juju leaves out the ports that the hook itself has opened or
// closed so far.
func openedPorts(k *call) error {
	if err := k.atMost(0); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(k.u.ports))
	if names == nil {
		names = []string{}
	}
	return k.write(names)
}

func actionGet(k *call) error {
	if len(k.args) == 0 {
		return k.write(k.act.params)
	}
	value, _ := k.act.param(k.args[0])
	return k.write(value)
}

var actionKey = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$`)

var reservedResults = []string{"stdout", "stdout-encoding", "stderr", "stderr-encoding"}

func actionSet(k *call) error {
	type pair struct {
		path  []string
		value string
	}
	var pairs []pair
	for _, arg := range k.args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			return usagef("argument %q must be of the form key...=value", arg)
		}
		if slices.Contains(reservedResults, key) {
			return usagef("cannot set reserved action key %q", key)
		}
		path := strings.Split(key, ".")
		for _, part := range path {
			if !actionKey.MatchString(part) {
				return usagef(
					"key %q must start and end with lowercase alphanumeric, and contain only lowercase alphanumeric and hyphens",
					part)
			}
		}
		pairs = append(pairs, pair{path, value})
	}
	for _, p := range pairs {
		k.act.set(p.path, p.value)
	}
	return nil
}

func actionFail(k *call) error {
	k.act.failed, k.act.message = true, "action failed without reason given, check action for errors"
	if len(k.args) > 0 {
		k.act.message = k.args[0]
	}
	return k.atMost(1)
}

func actionLog(k *call) error {
	if len(k.args) == 0 {
		return usagef("no message specified")
	}
	line := strings.Join(k.args, " ")
	k.act.log = append(k.act.log, line)
	if k.act.follow != nil {
		k.act.follow(line)
	}
	return nil
}

// inAction refuses a tool outside an action.
func inAction(run func(k *call) error) func(k *call) error {
	return func(k *call) error {
		if k.act == nil {
			return errors.New("not running an action")
		}
		return run(k)
	}
}
