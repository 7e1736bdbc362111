package diagnosis

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Bounds of what is kept about hooks.
const (
	maxStory    = 128 << 10 // bytes of all hooks
	maxLines    = 100       // of one hook
	maxLine     = 500       // bytes
	millisecond = int64(time.Millisecond)
)

// Hook is what one hook or action did, as it was logged.
type Hook struct {
	Name  string `json:"hook"`
	Began int64  `json:"began"` // Unix milliseconds
	Took  int64  `json:"took"`  // milliseconds
	Lines []Line `json:"lines"`
}

// Line is one line of a hook's log.
type Line struct {
	After int64  `json:"after"` // milliseconds since the hook began
	Level string `json:"level"`
	Text  string `json:"text"`
}

// Recorder is a log handler that passes everything on and keeps what is logged at INFO and above. A
// quiet hook logs nothing at that level.
type Recorder struct {
	slog.Handler
	*record
	attrs string
}

type record struct {
	mu    sync.Mutex
	began time.Time
	lines []Line
}

// NewRecorder returns a recorder for a hook that begins now.
func NewRecorder(next slog.Handler, now time.Time) Recorder {
	return Recorder{Handler: next, record: &record{began: now}}
}

// Handle implements slog.Handler.
func (r Recorder) Handle(ctx context.Context, rec slog.Record) error {
	if rec.Level >= slog.LevelInfo {
		var text strings.Builder
		text.WriteString(rec.Message + r.attrs)
		rec.Attrs(func(a slog.Attr) bool {
			writeAttr(&text, a)
			return text.Len() < maxLine
		})
		r.mu.Lock()
		if len(r.lines) < maxLines {
			r.lines = append(r.lines, Line{
				int64(rec.Time.Sub(r.began)) / millisecond, rec.Level.String(), clip(text.String(), maxLine),
			})
		}
		r.mu.Unlock()
	}
	return r.Handler.Handle(ctx, rec)
}

// WithAttrs implements slog.Handler.
func (r Recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	var text strings.Builder
	for _, a := range attrs {
		writeAttr(&text, a)
	}
	return Recorder{r.Handler.WithAttrs(attrs), r.record, r.attrs + text.String()}
}

// WithGroup implements slog.Handler.
func (r Recorder) WithGroup(name string) slog.Handler {
	return Recorder{r.Handler.WithGroup(name), r.record, r.attrs}
}

func writeAttr(text *strings.Builder, a slog.Attr) {
	value := a.Value.Resolve().String()
	if strings.ContainsAny(value, " \"\n") || value == "" {
		value = fmt.Sprintf("%q", value)
	}
	text.WriteString(" " + a.Key + "=" + value)
}

// Hook is what was recorded of a hook that ends now, and whether there is anything. failed is the
// hook's error; nil means that it succeeded.
func (r Recorder) Hook(name string, now time.Time, failed error) (Hook, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if failed != nil {
		r.lines = append(r.lines, Line{
			int64(now.Sub(r.began)) / millisecond, "ERROR", clip(failed.Error(), maxLine),
		})
	}
	return Hook{
		name, r.began.UnixMilli(), int64(now.Sub(r.began)) / millisecond, r.lines,
	}, len(r.lines) > 0
}

// Append is the story with one more hook, one on each line; the oldest hooks are dropped.
func Append(story []byte, h Hook) []byte {
	line, err := json.Marshal(h)
	if err != nil {
		return story // it holds only texts and numbers
	}
	story = append(bytes.Clone(story), append(line, '\n')...)
	for len(story) > maxStory {
		at := bytes.IndexByte(story, '\n')
		story = story[at+1:]
	}
	return story
}

// Story are the hooks of a story, the oldest first. Lines that cannot be read are left out.
func Story(text []byte) []Hook {
	var out []Hook
	for line := range bytes.Lines(text) {
		var h Hook
		if json.Unmarshal(line, &h) == nil && h.Name != "" {
			out = append(out, h)
		}
	}
	return out
}
