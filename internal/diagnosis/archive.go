// Package diagnosis makes what somebody needs to look at a unit's problem elsewhere: one archive of
// texts, and a page that shows them.
//
// It contains no private key, and nothing of users' data: no key in etcd, and no value. Each text
// is bounded, and so is the archive.
package diagnosis

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of an archive, before it is packed.
const (
	MaxFile  = 512 << 10
	MaxAll   = 4 << 20
	MaxFiles = 40
)

// File is one text of an archive. If a text is too long, its end is kept.
type File struct {
	Name string // below the archive's directory
	Text []byte
}

// Write packs files as a tar.gz, below one directory. What does not fit is left out, and
// LEFT-OUT.txt says so.
func Write(w io.Writer, top string, at time.Time, files []File) error {
	zip := gzip.NewWriter(w)
	out := tar.NewWriter(zip)
	var all int
	var leftOut bytes.Buffer
	add := func(name string, text []byte) error {
		err := out.WriteHeader(&tar.Header{
			Name: path.Join(top, name), Mode: 0o600, Size: int64(len(text)),
			ModTime: at, Format: tar.FormatPAX,
		})
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	}
	for i, f := range files {
		text := lastOf(Redact(f.Text), MaxFile)
		if all += len(text); all > MaxAll || i >= MaxFiles {
			fmt.Fprintf(&leftOut, "%s (%d bytes)\n", f.Name, len(f.Text))
			all -= len(text)
			continue
		}
		if err := add(f.Name, text); err != nil {
			return fmt.Errorf("cannot pack %s: %w", f.Name, err)
		}
	}
	if leftOut.Len() > 0 {
		if err := add("LEFT-OUT.txt", leftOut.Bytes()); err != nil {
			return fmt.Errorf("cannot pack: %w", err)
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("cannot pack: %w", err)
	}
	if err := zip.Close(); err != nil {
		return fmt.Errorf("cannot pack: %w", err)
	}
	return nil
}

// lastOf is the end of a text, beginning at the start of a line.
func lastOf(text []byte, most int) []byte {
	if len(text) <= most {
		return text
	}
	const cut = "…\n"
	text = text[len(text)-most+len(cut):]
	if at := bytes.IndexByte(text, '\n'); at >= 0 {
		text = text[at+1:]
	}
	return append([]byte(cut), text...)
}

// redacted replaces what is taken out.
const redacted = "[redacted]"

// privateKey matches a private key in PEM, also without its end, and also as quoted text has it.
var privateKey = regexp.MustCompile(
	`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`,
)

// Redact takes private keys out of a text. There should be none; this is the last line of defence.
func Redact(text []byte) []byte { return privateKey.ReplaceAll(text, []byte(redacted)) }

// usersWords are parts of the field names under which etcd logs what clients asked for, and so the
// names of their keys: slow requests (server/v3 txn, WarnOfExpensiveRequest) and their steps
// (pkg/v3 traceutil), the content of each request at level debug (etcdserver/api/v3rpc), and user
// names (server/v3 auth).
var usersWords = []string{
	"request", "response", "detail", "step", "content", "key", "range", "value",
	"user", "role", "permission", "header", "stream", "body",
}

// notUsers are field names that contain such a part, but hold nothing of users and are worth
// knowing.
var notUsers = map[string]bool{
	"max-request-bytes": true, "max-concurrent-streams": true,
	"request-size": true, "response-size": true, "request-count": true, "response-count": true,
	"step_count": true, "value-size": true,
	"stream-reader": true, "stream-type": true, "peer-stream": true,
}

// Journal removes what is of users from etcd's log, which has one JSON object on each line. A line
// that was cut off and so cannot be read is dropped.
func Journal(text []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		at := bytes.IndexByte(line, '{')
		if at < 0 {
			out.Write(bytes.ToValidUTF8(line, []byte("?")))
			out.WriteByte('\n')
			continue
		}
		var entry map[string]any
		decoder := json.NewDecoder(bytes.NewReader(line[at:]))
		decoder.UseNumber()
		if decoder.Decode(&entry) != nil || decoder.More() {
			out.WriteString(redacted + "\n")
			continue
		}
		scrub(entry)
		out.Write(line[:at])
		out.Write(inOrder(entry))
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// scrub removes what is of users from a log entry, and from what is nested in it.
func scrub(entry map[string]any) {
	for name, value := range entry {
		lower := strings.ToLower(name)
		for _, word := range usersWords {
			if strings.Contains(lower, word) && !notUsers[lower] {
				entry[name] = redacted
			}
		}
		switch nested := value.(type) {
		case map[string]any:
			scrub(nested)
		case []any:
			for _, one := range nested {
				if object, is := one.(map[string]any); is {
					scrub(object)
				}
			}
		}
	}
}

// inOrder is a log entry in etcd's order: time, level, message, and the rest.
func inOrder(entry map[string]any) []byte {
	var parts []string
	for _, name := range []string{"level", "ts", "msg"} {
		if value, is := entry[name]; is {
			text, _ := json.Marshal(value) // it was read as JSON
			parts = append(parts, fmt.Sprintf("%q:%s", name, text))
			delete(entry, name)
		}
	}
	if rest, _ := json.Marshal(entry); len(entry) > 0 {
		parts = append(parts, string(rest[1:len(rest)-1]))
	}
	return []byte("{" + strings.Join(parts, ",") + "}")
}

// clip cuts a text to at most that many bytes, between two characters.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for text = text[:most]; len(text) > 0; text = text[:len(text)-1] {
		if r, n := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || n != 1 {
			break
		}
	}
	return text + "…"
}
