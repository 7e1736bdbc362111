package model

import (
	"fmt"
	"slices"
	"strings"
)

// Rules are the differences between the Juju versions that the model knows;
// everything else is the same in all of them.
type Rules struct {
	// Version is the full version number, as JUJU_VERSION has it.
	Version string
	// Departed reports whether the survivors of a removed unit get their relation-departed hook.
	// Where they do not, relation-list and relation-get still answer for the unit that is gone
	// until the survivor's agent restarts (seen on Juju 4.0.15).
	Departed bool
	// BrokenListed reports whether relation-ids still names a relation that ends once its last
	// member is gone: Juju leaves it out since 3.4 (worker/uniter/runner/context,
	// HookContext.RelationIds).
	BrokenListed bool
	// Secrets reports whether Juju has secrets.
	Secrets bool
	// Tools are the names of the hook tools, sorted.
	Tools []string
}

// Series lists the versions RulesFor knows, oldest first.
var Series = []string{"2.9", "3.6", "4.0"}

var commonTools = []string{
	"action-fail", "action-get", "action-log", "action-set", "application-version-set",
	"close-port", "config-get", "goal-state", "is-leader", "juju-log", "juju-reboot",
	"network-get", "open-port", "opened-ports", "relation-get", "relation-ids", "relation-list",
	"relation-model-get", "relation-set", "state-delete", "state-get", "state-set",
	"status-get", "status-set", "unit-get",
}

var leaderTools = []string{"leader-get", "leader-set"}

var secretTools = []string{
	"secret-add", "secret-get", "secret-grant", "secret-ids", "secret-info-get",
	"secret-remove", "secret-revoke", "secret-set",
}

// RulesFor returns the rules of a Juju series ("2.9", "3.6" or "4.0"); the
// empty string stands for the newest.
func RulesFor(series string) (Rules, error) {
	var r Rules
	switch series {
	case "2.9":
		r = Rules{
			Version: "2.9.51", Departed: true, BrokenListed: true,
			Tools: slices.Concat(commonTools, leaderTools),
		}
	case "3.6":
		r = Rules{
			Version: "3.6.28", Departed: true, Secrets: true,
			Tools: slices.Concat(commonTools, leaderTools, secretTools),
		}
	case "4.0", "":
		r = Rules{Version: "4.0.15", Secrets: true, Tools: slices.Concat(commonTools, secretTools)}
	default:
		return Rules{}, fmt.Errorf("unknown Juju series %q: want one of %s",
			series, strings.Join(Series, ", "))
	}
	slices.Sort(r.Tools)
	return r, nil
}

// AllTools returns the names of the tools of every version, sorted.
func AllTools() []string {
	all := slices.Concat(commonTools, leaderTools, secretTools)
	slices.Sort(all)
	return all
}
