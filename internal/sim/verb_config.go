package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

func configVerb(s *Sim, e Env) *cobra.Command {
	var c configure
	cmd := &cobra.Command{
		Use: "config <application> [key | key=value...]", Short: "Show, set or reset options",
		Long: "Shows every option of an application with its type and the source of its value, or the value of one option;\n" +
			"with key=value sets options, with --reset resets them to their defaults. Units run config-changed.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return c.run(s, e, args[0], args[1:]) },
	}
	cmd.Flags().StringSliceVar(&c.reset, "reset", nil, "options to reset to their defaults")
	cmd.Flags().BoolVar(&c.twice, "twice", false, "fire config-changed twice, as Juju 4.0 does")
	cmd.Flags().StringVar(&c.format, "format", "yaml", "yaml or json")
	return cmd
}

// configure is one call of config.
type configure struct {
	reset  []string
	twice  bool
	format string
}

// run refuses what Juju refuses, in its words (cmd/juju/application/config.go).
func (c configure) run(s *Sim, e Env, app string, words []string) error {
	set := 0
	for _, w := range words {
		if strings.Contains(w, "=") {
			set++
		}
	}
	switch {
	case set == len(words) && set+len(c.reset) > 0:
		return c.change(s, e, app, words)
	case len(c.reset) > 0:
		return errors.New("cannot reset and retrieve values simultaneously")
	case set > 0:
		return errors.New("cannot set and retrieve values simultaneously")
	case len(words) > 1:
		return errors.New("can only retrieve a single value, or all values")
	}
	return c.show(s, e, app, words)
}

func (c configure) show(s *Sim, e Env, app string, words []string) error {
	settings, charm, err := s.Model.Settings(app)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return writeAs(e, c.format, map[string]any{
			"application": app, "charm": charm, "settings": settings,
		})
	}
	option, ok := settings[words[0]]
	if !ok {
		return fmt.Errorf("key %q not found in %q application config or charm settings.%s",
			words[0], app, near(words[0], settings))
	}
	if option.Value == nil {
		_, err := fmt.Fprintln(e.Out)
		return err
	}
	_, err = fmt.Fprintln(e.Out, option.Value)
	return err
}

// near returns the options whose names are close to the one that was given.
func near(key string, settings map[string]model.Setting) string {
	letters := func(s string) string {
		return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s))
	}
	var meant []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if strings.Contains(letters(name), letters(key)) {
			meant = append(meant, name)
		}
	}
	if len(meant) == 0 {
		return ""
	}
	return " Is it " + strings.Join(meant, ", or ") + "?"
}

func (c configure) change(s *Sim, e Env, app string, words []string) error {
	values, err := pairs(words)
	if err != nil {
		return err
	}
	settings, _, err := s.Model.Settings(app)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if at, ok := settings[key]; ok && fmt.Sprint(at.Value) == values[key] {
			fmt.Fprintf(e.Err, "WARNING the configuration setting %q already has the value %q\n",
				key, values[key])
		}
	}
	times := 1
	if c.twice {
		times = 2
	}
	return s.Model.Configure(app, values, c.reset, times)
}
