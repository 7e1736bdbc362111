package juju

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// LevelCritical is above slog's levels, as Juju's CRITICAL is above ERROR.
const LevelCritical = slog.LevelError + 4

// maxMessage bounds the bytes of one log line: an argument has at most 128 KiB, and no reader needs
// more.
const maxMessage = 16 << 10

// handler writes records with juju-log, one call for each.
type handler struct {
	tools  Tools
	stderr io.Writer
	mu     *sync.Mutex // guards stderr
	prefix string      // group names, each with its dot
	attrs  string      // rendered, each after a space
}

// NewLogHandler returns a slog handler that writes with juju-log, or to stderr if that fails: Juju
// writes a hook's stderr to the log too. Attributes follow the message as key=value. Values that
// know how to log themselves do so; types that hold keys print themselves as redacted.
func NewLogHandler(tools Tools, stderr io.Writer) slog.Handler {
	return &handler{tools: tools, stderr: stderr, mu: new(sync.Mutex)}
}

// Enabled lets everything through: Juju's own logging-config decides what is kept.
func (*handler) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes one record; it never fails when the log cannot be written.
func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	var line strings.Builder
	line.WriteString(record.Message)
	line.WriteString(h.attrs)
	record.Attrs(func(a slog.Attr) bool {
		writeAttr(&line, h.prefix, a)
		return line.Len() < 2*maxMessage
	})
	text := strings.ToValidUTF8(strings.ReplaceAll(line.String(), "\x00", ""), "�")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	level := levelName(record.Level)
	// The last lines of a hook are the most useful, so they are logged even after its deadline.
	if _, err := h.tools.Run(
		context.WithoutCancel(ctx), nil, "juju-log", "--log-level", level, "--", text,
	); err == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := fmt.Fprintf(h.stderr, "%s %s\n", level, text)
	return err
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var text strings.Builder
	for _, a := range attrs {
		writeAttr(&text, h.prefix, a)
	}
	out := *h
	out.attrs += text.String()
	return &out
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	out := *h
	if name != "" {
		out.prefix += name + "."
	}
	return &out
}

// writeAttr appends " key=value", a group as its members.
func writeAttr(line *strings.Builder, prefix string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range value.Group() {
			writeAttr(line, prefix, member)
		}
		return
	}
	if a.Key == "" {
		return
	}
	var text string
	if list, ok := value.Any().([]string); ok {
		text = strings.Join(list, ",")
	} else {
		text = value.String()
	}
	if len(text) > maxMessage {
		text = text[:maxMessage] + "…"
	}
	if text == "" || strings.ContainsFunc(text, func(r rune) bool {
		return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r)
	}) {
		text = strconv.Quote(text)
	}
	line.WriteString(" " + prefix + a.Key + "=" + text)
}

// levelName returns the highest of Juju's levels that is not above level.
func levelName(level slog.Level) string {
	switch {
	case level >= LevelCritical:
		return "CRITICAL"
	case level >= slog.LevelError:
		return "ERROR"
	case level >= slog.LevelWarn:
		return "WARNING"
	case level >= slog.LevelInfo:
		return "INFO"
	}
	return "DEBUG"
}
