package juju

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"gopkg.in/yaml.v3"
)

// Tools runs Juju's hook tools. Run passes args and stdin (nil for none) to tool, and returns its
// stdout. For a tool that exits non-zero it returns a *ToolError, and for one that this Juju does
// not have, ErrNoTool.
type Tools interface {
	Run(ctx context.Context, stdin []byte, tool string, args ...string) ([]byte, error)
}

// Finder reports whether this Juju has a hook tool at all.
type Finder interface {
	Has(tool string) bool
}

// ErrNoTool means that this Juju has no such hook tool.
var ErrNoTool = errors.New("this Juju has no such hook tool")

const (
	// callTimeout bounds one hook tool call: the agent answers in milliseconds, or not at all.
	callTimeout = 30 * time.Second
	// maxStderr bounds, in bytes, what is kept of a tool's complaint.
	maxStderr = 1024
)

// ToolError is an error answer of a hook tool. Only the text distinguishes the errors of Juju's
// tools.
type ToolError struct {
	Tool   string
	Code   int    // exit code; -1 if a signal ended the tool
	Stderr string // trimmed, bounded, without key material
}

// Error shows tool, exit code and the tool's own words.
func (e *ToolError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("%s: exit code %d", e.Tool, e.Code)
	}
	return fmt.Sprintf("%s: exit code %d: %s", e.Tool, e.Code, e.Stderr)
}

// Path finds tools on the process's PATH, where Juju puts its own first.
type Path struct{}

// Has reports whether tool is on the PATH and executable.
func (Path) Has(tool string) bool {
	_, err := exec.LookPath(tool)
	return err == nil
}

// Exec runs the tools on the process's PATH in the process's environment.
type Exec struct{}

// Run implements Tools. It ends the tool after 30 s, and when ctx ends.
func (Exec) Run(ctx context.Context, stdin []byte, tool string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.WaitDelay = time.Second
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return stdout.Bytes(), nil
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("cannot run %s: %w", tool, ErrNoTool)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("cannot run %s: %w", tool, context.Cause(ctx))
	case errors.As(err, &exit):
		return nil, &ToolError{Tool: tool, Code: exit.ExitCode(), Stderr: complaint(stderr.String())}
	}
	return nil, fmt.Errorf("cannot run %s: %w", tool, err)
}

// complaint makes a tool's stderr fit for a status and a log. A tool that cannot parse its stdin
// may quote it, and that may be a key.
func complaint(stderr string) string {
	if strings.Contains(stderr, "PRIVATE KEY") || strings.Contains(stderr, "-----BEGIN") {
		return "[redacted]"
	}
	stderr = strings.ToValidUTF8(strings.TrimSpace(stderr[:min(len(stderr), 4*maxStderr)]), "�")
	if len(stderr) > maxStderr {
		stderr = strings.ToValidUTF8(stderr[:maxStderr], "") + "…"
	}
	return stderr
}

// notThere reports whether a tool said that a unit's bag does not exist. For a unit that is named
// Juju 2.9 and 3.6 say "settings not found", 4.0 says "relation unit not found". No other text, and
// no other error, counts as this answer.
func notThere(err error) bool {
	var refusal *ToolError
	if !errors.As(err, &refusal) {
		return false
	}
	text := strings.ToLower(refusal.Stderr)
	for _, what := range []string{"relation", "unit", "settings"} {
		if at := strings.Index(text, what); at >= 0 && strings.Contains(text[at:], "not found") {
			return true
		}
	}
	return false
}

// noRelation reports whether a tool said that a relation does not exist, in these words and no
// others.
func noRelation(err error) bool {
	var refusal *ToolError
	return errors.As(err, &refusal) &&
		strings.TrimPrefix(strings.TrimSpace(refusal.Stderr), "ERROR ") == "relation not found"
}

// lenient reads JSON as encoding/json does, except that the case of names counts. encoding/json
// reads an answer twice, which takes noticeable time for a goal-state with a thousand consumers.
//
//nolint:gochecknoglobals // a constant that Go cannot write as one
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// query runs tool with --format json and decodes its answer into out. An empty answer is an error.
// Juju prints "null" for a list or map that is empty (secret-ids without secrets); out then keeps
// its zero value.
func query(ctx context.Context, tools Tools, out any, tool string, args ...string) error {
	answer, err := tools.Run(ctx, nil, tool, append([]string{"--format", "json"}, args...)...)
	if err != nil {
		return err
	}
	answer = bytes.TrimSpace(answer)
	if len(answer) == 0 {
		return fmt.Errorf("%s: answered nothing", tool)
	}
	if err := json.Unmarshal(answer, out, lenient); err != nil {
		// The decoder's error may quote the answer, which may hold keys.
		return fmt.Errorf("%s: unexpected JSON (%d bytes)", tool, len(answer))
	}
	return nil
}

// settings encodes a flat map of texts as YAML that Juju's YAML 1.1 parser reads back as those
// texts: every key and value is a double-quoted scalar, because unquoted "1E2345" is a number and
// "no" a boolean. A byte that is not UTF-8 becomes U+FFFD.
func settings(values map[string]string) []byte {
	doc := yaml.Node{Kind: yaml.MappingNode}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		for _, text := range []string{key, values[key]} {
			doc.Content = append(doc.Content, &yaml.Node{
				Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle,
				Value: strings.ToValidUTF8(text, "\uFFFD"),
			})
		}
	}
	out, err := yaml.Marshal(&doc)
	if err != nil {
		panic("juju: texts cannot be encoded: " + err.Error())
	}
	return out
}
