package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// logLevels are Juju's levels, from the least to the most severe.
var logLevels = []string{"TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}

func debugLogVerb(s *Sim, e Env) *cobra.Command {
	var l logLook
	var replay, noTail bool
	cmd := &cobra.Command{
		Use: "debug-log [unit...]", Short: "Print the log of the hooks",
		Long: "Prints what hooks have logged, and with --tail what they log from then on. Juju follows the log from its last ten\n" +
			"lines unless told otherwise; here everything so far is printed, and the command ends.",
		RunE: func(cmd *cobra.Command, args []string) error {
			l.include = append(l.include, args...)
			if !slices.Contains(logLevels, strings.ToUpper(l.level)) {
				return fmt.Errorf("level value %q is not one of %s", l.level, strings.Join(logLevels, ", "))
			}
			if l.lines < 0 {
				return fmt.Errorf("--lines must not be negative, got %d", l.lines)
			}
			for _, who := range slices.Concat(l.include, l.exclude) {
				if err := s.logged(who); err != nil {
					return err
				}
			}
			return l.print(cmd.Context(), s, e)
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&l.include, "include", "i", nil, "only lines of these units or applications")
	f.StringSliceVarP(&l.exclude, "exclude", "x", nil, "no lines of these units or applications")
	f.StringVarP(&l.level, "level", "l", "DEBUG",
		"only lines of this level and above: DEBUG, INFO, WARNING or ERROR")
	f.IntVarP(&l.lines, "lines", "n", 0, "only the last so many (0 is all)")
	f.IntVar(&l.lines, "limit", 0, "the same as --lines")
	f.BoolVar(&l.tail, "tail", false, "follow the log until Ctrl-C")
	f.BoolVar(&replay, "replay", true,
		"accepted as in Juju; the log is always printed from the beginning")
	f.BoolVar(&noTail, "no-tail", true, "accepted as in Juju; the command ends unless --tail is given")
	return cmd
}

// logged returns an error for a name that the model has never had: units that are gone have logged
// too.
func (s *Sim) logged(who string) error {
	name, _, isUnit := strings.Cut(who, "/")
	app, ok := s.Model.Status().Applications[name]
	if isUnit {
		_, ok = app.Units[who]
	}
	if ok {
		return nil
	}
	if slices.ContainsFunc(s.Model.Log(""), func(l model.LogLine) bool { return of(l, who) }) {
		return nil
	}
	return fmt.Errorf("application or unit %q not found", who)
}

// of reports whether a line is from the unit or the application who. Juju also accepts unit-etcd-0.
func of(l model.LogLine, who string) bool {
	app, _, _ := strings.Cut(l.Unit, "/")
	return who == l.Unit || who == app || who == "unit-"+strings.ReplaceAll(l.Unit, "/", "-")
}

// logLook says which lines of the log are wanted.
type logLook struct {
	include, exclude []string
	level            string
	lines            int
	tail             bool
}

func (l logLook) wants(line model.LogLine) bool {
	is := func(who string) bool { return of(line, who) }
	return slices.Index(logLevels, line.Level) >= slices.Index(logLevels, strings.ToUpper(l.level)) &&
		(len(l.include) == 0 || slices.ContainsFunc(l.include, is)) && !slices.ContainsFunc(l.exclude, is)
}

func (l logLook) print(ctx context.Context, s *Sim, e Env) error {
	const often = 200 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	seen := 0
	for first := true; ; first = false {
		all := s.Model.Log("")
		lines := slices.DeleteFunc(slices.Clone(all[seen:]), func(line model.LogLine) bool {
			return !l.wants(line)
		})
		seen = len(all)
		if first && l.lines > 0 && len(lines) > l.lines {
			lines = lines[len(lines)-l.lines:]
		}
		for _, line := range lines {
			if _, err := fmt.Fprintln(e.Out, line); err != nil {
				return err
			}
		}
		if !l.tail {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
