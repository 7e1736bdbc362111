package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"github.com/juju-charms/etcd-charm/internal/sim/hooktool"
)

// Request is a call of a hook tool, in the shape Juju sends it.
type Request struct {
	// Tool is the tool's name and Args what follows it.
	Tool string
	Args []string
	// Dir is the caller's working directory, for files named in Args.
	Dir string
	// Stdin is what the caller gave, if StdinSet.
	Stdin    []byte
	StdinSet bool
	// ReadFile reads a file named in Args; nil refuses.
	ReadFile func(path string) ([]byte, error)
}

// Reply is a tool's answer.
type Reply struct {
	Code           int
	Stdout, Stderr []byte
}

// ErrNoStdin is returned when a tool wants its standard input and was given
// none: call again with StdinSet.
var ErrNoStdin = errors.New(hooktool.NoStdin)

// usageError is a wrong call, which exits with 2. Other errors exit with 1.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// call is one call of a tool.
type call struct {
	*Context
	req    Request
	flags  *pflag.FlagSet
	args   []string
	out    bytes.Buffer
	format string
	rel    string
}

// tool describes a hook tool: its flags, and what it does.
type tool struct {
	flags func(k *call)
	run   func(k *call) error
}

// Call calls a hook tool. The error is ErrNoStdin or ErrCrashed, or means that the hook has ended
// or the tool does not exist. Whatever a tool itself finds wrong is in the reply.
func (c *Context) Call(req Request) (Reply, error) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	t, ok := tools[req.Tool]
	if !ok || !slices.Contains(c.m.Rules.Tools, req.Tool) {
		return Reply{}, fmt.Errorf("bad request: unknown command %q", req.Tool)
	}
	if c.ended || c.dead {
		return Reply{}, ErrCrashed
	}
	k := &call{Context: c, req: req, flags: pflag.NewFlagSet(req.Tool, pflag.ContinueOnError)}
	k.flags.SetOutput(&k.out)
	k.flags.Usage = func() {}
	err := k.parse(t)
	if err == nil && k.needsStdin() && !req.StdinSet {
		return Reply{}, ErrNoStdin
	}
	c.record.Calls++
	c.record.Tools = append(c.record.Tools, req.Tool)
	crash := c.crash != nil && c.record.Calls == c.crash.Call
	if crash && !c.crash.After {
		return Reply{}, c.die()
	}
	if err == nil {
		err = t.run(k)
	}
	if crash {
		return Reply{}, c.die()
	}
	return k.reply(err), nil
}

func (c *Context) die() error {
	c.dead = true
	if c.kill != nil {
		c.kill()
	}
	return ErrCrashed
}

func (k *call) parse(t tool) error {
	if t.flags != nil {
		t.flags(k)
	}
	if err := k.flags.Parse(k.req.Args); err != nil {
		return usageError{err}
	}
	k.args = k.flags.Args()
	if k.format != "" && !slices.Contains([]string{"smart", "json", "yaml"}, k.format) {
		return usagef("invalid value %q for option --format: unknown format %q", k.format, k.format)
	}
	return nil
}

// needsStdin reports whether any flag named a file "-".
func (k *call) needsStdin() bool {
	f := k.flags.Lookup("file")
	return f != nil && f.Value.String() == "-"
}

func (k *call) reply(err error) Reply {
	switch {
	case err == nil:
		return Reply{Stdout: k.out.Bytes()}
	case errors.As(err, &usageError{}):
		return Reply{Code: 2, Stdout: k.out.Bytes(), Stderr: []byte("ERROR " + err.Error() + "\n")}
	default:
		return Reply{Code: 1, Stdout: k.out.Bytes(), Stderr: []byte("ERROR " + err.Error() + "\n")}
	}
}

// ToolError is a tool that exited non-zero.
type ToolError struct {
	Tool   string
	Code   int
	Stderr string
}

func (e *ToolError) Error() string {
	return fmt.Sprintf("%s: exit status %d: %s", e.Tool, e.Code, strings.TrimSpace(e.Stderr))
}

// Run calls a tool from within this process and returns its stdout; hooks that run in memory use
// it. For a tool that fails it returns a *ToolError, and for one that this Juju does not have, an
// error that wraps exec.ErrNotFound.
func (c *Context) Run(
	ctx context.Context, stdin []byte, tool string, args ...string,
) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !slices.Contains(c.m.Rules.Tools, tool) {
		return nil, &exec.Error{Name: tool, Err: exec.ErrNotFound}
	}
	rep, err := c.Call(Request{Tool: tool, Args: args, Stdin: stdin, StdinSet: true})
	if err != nil {
		return nil, err
	}
	if rep.Code != 0 {
		return rep.Stdout, &ToolError{tool, rep.Code, string(rep.Stderr)}
	}
	return rep.Stdout, nil
}

// formatFlag adds --format with a default.
func formatFlag(def string) func(*call) {
	return func(k *call) {
		k.flags.StringVar(&k.format, "format", def, "output format: json|smart|yaml")
		k.flags.StringP("output", "o", "", "ignored: output goes to stdout")
	}
}

func relationFlag(k *call) {
	k.flags.StringVarP(&k.rel, "relation", "r", "", "relation id")
}

func flagSet(fs ...func(*call)) func(*call) {
	return func(k *call) {
		for _, f := range fs {
			f(k)
		}
	}
}

// write prints a value in the format asked for.
func (k *call) write(v any) error {
	var text []byte
	var err error
	switch k.format {
	case "json":
		text, err = json.Marshal(v)
	case "yaml":
		text, err = yaml.Marshal(v)
		text = bytes.TrimRight(text, "\n")
	default:
		text, err = smart(v)
	}
	if err != nil {
		return err
	}
	if len(text) > 0 {
		k.out.Write(append(text, '\n'))
	}
	return nil
}

// writeJSON prints a value that is already JSON, in the format asked for.
func (k *call) writeJSON(text []byte) error {
	if k.format == "json" {
		k.out.Write(append(text, '\n'))
		return nil
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	return k.write(v)
}

// smart is Juju's own format: strings and lists of them bare, the rest YAML.
func smart(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(v), nil
	case []string:
		return []byte(strings.Join(v, "\n")), nil
	case bool:
		return []byte(map[bool]string{true: "True", false: "False"}[v]), nil
	case int:
		return []byte(strconv.Itoa(v)), nil
	case map[string]string:
		if len(v) == 0 {
			return []byte("{}"), nil
		}
	}
	text, err := yaml.Marshal(v)
	return bytes.TrimRight(text, "\n"), err
}

// keyValues parses "key=value" arguments. Keys and values are trimmed; a key
// given twice is an error.
func keyValues(args []string) (map[string]string, error) {
	values := map[string]string{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" {
			return nil, usagef(`expected "key=value", got %q`, arg)
		}
		if _, twice := values[key]; twice {
			return nil, usagef("key %q specified more than once", key)
		}
		values[key] = strings.TrimSpace(value)
	}
	return values, nil
}

// readSettings decodes a YAML map of scalars, as --file takes it.
func readSettings(text []byte) (map[string]string, error) {
	var raw map[string]yaml.Node
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("cannot parse settings: %w", err)
	}
	values := make(map[string]string, len(raw))
	for key, node := range raw {
		if node.Kind == yaml.AliasNode && node.Alias != nil {
			node = *node.Alias
		}
		if node.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("cannot parse settings: value of %q is not a scalar", key)
		}
		values[key] = node.Value
		if node.ShortTag() == "!!null" {
			values[key] = ""
		}
	}
	return values, nil
}

// readFile reads the file a flag or argument names; "-" is standard input.
func (k *call) readFile(path string) ([]byte, error) {
	if path == "-" {
		return k.req.Stdin, nil
	}
	if k.req.ReadFile == nil {
		return nil, fmt.Errorf("cannot read %s: no files here", path)
	}
	return k.req.ReadFile(path)
}

// settings merges --file and the key=value arguments; the arguments win.
func (k *call) settings(path string) (map[string]string, error) {
	values := map[string]string{}
	if path != "" {
		text, err := k.readFile(path)
		if err != nil {
			return nil, err
		}
		if values, err = readSettings(text); err != nil {
			return nil, err
		}
	}
	args, err := keyValues(k.args)
	if err != nil {
		return nil, err
	}
	for key, value := range args {
		values[key] = value
	}
	return values, nil
}

// atMost refuses more than n arguments.
func (k *call) atMost(n int) error {
	if len(k.args) > n {
		return usagef("unrecognized args: %q", k.args[n:])
	}
	return nil
}
