package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/internal/sim/model"
)

// writeAs prints a value as yaml or json, with the names of its JSON form.
func writeAs(e Env, format string, v any) error {
	switch format {
	case "json":
		return writeJSON(e, v)
	case "yaml":
	default:
		return fmt.Errorf("unknown format %q: it is yaml or json", format)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	// JSON is YAML; decoding it into nodes keeps the order of its keys.
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return err
	}
	plain(&node)
	return writeYAML(e, &node)
}

// oldBool matches what readers of YAML 1.1 read as a boolean.
var oldBool = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false)$`)

// plain removes the JSON style from YAML where it is not needed.
func plain(n *yaml.Node) {
	if n.Style = 0; n.Tag == "!!str" && oldBool.MatchString(n.Value) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		plain(child)
	}
}

func showUnitVerb(s *Sim, e Env) *cobra.Command {
	var format, endpoint, related string
	var app, unsafe bool
	cmd := &cobra.Command{
		Use: "show-unit <unit>...", Short: "Show units with their relations and what is in the databags",
		Long: "Shows units with their relations and what is in the databags. Private keys are left out; Juju prints them.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			all := map[string]model.UnitView{}
			for _, arg := range args {
				name, err := s.unitArg(arg)
				if err != nil {
					return err
				}
				v, err := s.Model.UnitView(name)
				if err != nil {
					return err
				}
				v.Relations = narrow(v.Relations, endpoint, related, app)
				if !unsafe {
					redact(v)
				}
				all[name] = v
			}
			return writeAs(e, format, all)
		},
	}
	cmd.Flags().StringVar(&format, "format", "yaml", "yaml or json")
	cmd.Flags().StringVar(&endpoint, "endpoint", "", "only relations of this endpoint")
	cmd.Flags().StringVar(&related, "related-unit", "", "only this one of the related units")
	cmd.Flags().BoolVar(&app, "app", false, "only the data of applications")
	cmd.Flags().BoolVar(&unsafe, "unsafe", false, "print private keys")
	return cmd
}

// narrow keeps the relations that were asked for.
func narrow(all []model.RelationView, endpoint, related string, app bool) []model.RelationView {
	all = slices.DeleteFunc(all, func(r model.RelationView) bool {
		return endpoint != "" && r.Endpoint != endpoint
	})
	for i := range all {
		if app {
			all[i].Local, all[i].Units = nil, nil
		}
		if related != "" {
			maps.DeleteFunc(all[i].Units, func(name string, _ model.BagView) bool { return name != related })
		}
	}
	return all
}

func redact(v model.UnitView) {
	for _, r := range v.Relations {
		bags := []map[string]string{r.AppData}
		if r.Local != nil {
			bags = append(bags, r.Local.Data)
		}
		for _, u := range r.Units {
			bags = append(bags, u.Data)
		}
		for _, bag := range bags {
			redactBag(bag)
		}
	}
}

func redactBag(bag map[string]string) {
	for key, value := range bag {
		if strings.Contains(value, "PRIVATE KEY") {
			bag[key] = "[redacted]"
		}
	}
}

func actionsVerb(s *Sim, e Env) *cobra.Command {
	var format string
	var schema bool
	cmd := &cobra.Command{
		Use: "actions <application>", Short: "List the actions of an application",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			specs, err := s.Model.ActionSpecs(args[0])
			if err != nil {
				return err
			}
			names := slices.Sorted(maps.Keys(specs))
			if schema || format != "tabular" {
				all := map[string]any{}
				for _, name := range names {
					if all[name] = specs[name].Description; schema {
						all[name] = specs[name].Params
					}
				}
				if format == "tabular" {
					format = "yaml"
				}
				return writeAs(e, format, all)
			}
			w := tabwriter.NewWriter(e.Out, 0, 1, 2, ' ', 0)
			fmt.Fprintln(w, "Action\tDescription")
			for _, name := range names {
				fmt.Fprintf(w, "%s\t%s\n", name, strings.Join(strings.Fields(specs[name].Description), " "))
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVar(&format, "format", "tabular", "tabular, yaml or json")
	cmd.Flags().BoolVar(&schema, "schema", false, "show the parameters")
	return cmd
}

func secretsVerb(s *Sim, e Env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "secrets", Aliases: []string{"list-secrets"}, Short: "List the secrets", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all := s.Model.Secrets()
			if format != "tabular" {
				return writeAs(e, format, all)
			}
			w := tabwriter.NewWriter(e.Out, 0, 1, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tOwner\tRevision\tLabel\tDescription")
			for _, id := range slices.Sorted(maps.Keys(all)) {
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n",
					id, all[id].Owner, all[id].Revision, all[id].Label, all[id].Description)
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVar(&format, "format", "tabular", "tabular, yaml or json")
	return cmd
}

// secretArg returns a secret by its ID, with or without "secret:" in front, or by its label.
func (s *Sim) secretArg(arg string) (string, error) {
	id := strings.TrimPrefix(arg, "secret:")
	all := s.Model.Secrets()
	if _, ok := all[id]; ok {
		return id, nil
	}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if all[id].Label == arg {
			return id, nil
		}
	}
	return "", fmt.Errorf("secret %q not found", arg)
}

func showSecretVerb(s *Sim, e Env) *cobra.Command {
	var format string
	var reveal, unsafe bool
	cmd := &cobra.Command{
		Use: "show-secret <ID|label>", Short: "Show a secret", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := s.secretArg(args[0])
			if err != nil {
				return err
			}
			type shown struct {
				model.SecretInfo
				Content map[string]string `json:"content,omitempty"`
			}
			v := shown{SecretInfo: s.Model.Secrets()[id]}
			if reveal {
				if v.Content, err = s.Model.SecretContent(id); err != nil {
					return err
				}
				if !unsafe {
					redactBag(v.Content)
				}
			}
			return writeAs(e, format, map[string]any{id: v})
		},
	}
	cmd.Flags().StringVar(&format, "format", "yaml", "yaml or json")
	cmd.Flags().BoolVar(&reveal, "reveal", false,
		"show the content; private keys are left out, while Juju prints them")
	cmd.Flags().BoolVar(&unsafe, "unsafe", false, "print private keys too")
	return cmd
}

func removeSecretVerb(s *Sim, _ Env) *cobra.Command {
	var revision int
	cmd := &cobra.Command{
		Use: "remove-secret <ID|label>", Short: "Remove a secret, or one revision of it: no unit is told",
		Long: "Removes a secret with all its revisions, or one of them. No unit is told; each finds out when it reads it.\n" +
			"Juju lets users remove only secrets of users; here they may remove those of charms too, to see what a charm does.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("missing secret URI")
			}
			return cobra.ExactArgs(1)(nil, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := s.secretArg(args[0])
			if err != nil {
				return err
			}
			return s.Model.RemoveSecret(id, revision)
		},
	}
	cmd.Flags().IntVar(&revision, "revision", 0, "remove only this revision")
	return cmd
}

func writeJSON(e Env, v any) error {
	// No HTML escapes: keys and messages contain characters such as <, which must stay readable.
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := e.Out.Write(text.Bytes())
	return err
}
