package databag

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// maxShownKey bounds, in bytes, a key in texts: a key is foreign data too.
const maxShownKey = 64

// A Bag holds the settings that one unit or one application has written into a relation. The nil
// Bag is an empty one. Treat it as a value: clone a Bag that came from elsewhere before changing
// it.
type Bag map[string]string

// Clone returns an independent copy without the empty values. It is never nil,
// so the copy can be written to.
func (b Bag) Clone() Bag {
	out := make(Bag, len(b))
	for key, value := range b {
		if value != "" {
			out[key] = value
		}
	}
	return out
}

// Equal reports whether both bags hold the same settings; an empty value counts as
// absent.
func (b Bag) Equal(other Bag) bool {
	return Diff(b, other).IsZero()
}

// Keys returns the keys that hold a value, sorted.
func (b Bag) Keys() []string {
	keys := make([]string, 0, len(b))
	for key, value := range b {
		if value != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Size is the number of bytes of all keys and values together.
func (b Bag) Size() int {
	size := 0
	for key, value := range b {
		size += len(key) + len(value)
	}
	return size
}

// String shows keys and the lengths of their values in bytes, never the values:
// "{client_key: 241 bytes, cluster: 32 bytes}".
func (b Bag) String() string {
	var text strings.Builder
	text.WriteByte('{')
	for i, key := range b.Keys() {
		if i > 0 {
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, "%s: %d bytes", showKey(key), len(b[key]))
	}
	text.WriteByte('}')
	return text.String()
}

// Format prints what String returns, under every verb and flag (%v, %+v, %#v, %q and %x alike), so
// that no verb prints a value.
func (b Bag) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, b.String())
}

// LogValue is the bag in a structured log: one attribute per key, the length of
// its value in bytes.
func (b Bag) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, len(b))
	for _, key := range b.Keys() {
		attrs = append(attrs, slog.Int(showKey(key), len(b[key])))
	}
	return slog.GroupValue(attrs...)
}

// MarshalJSON always fails. A JSON log handler encodes what it is given, and would write out the
// values of a Bag deep inside it. To write the values on purpose, convert:
// json.Marshal(map[string]string(bag)). Decoding into a Bag works as for any map.
func (b Bag) MarshalJSON() ([]byte, error) { return nil, errEncoded }

// MarshalYAML always fails, as MarshalJSON does.
func (b Bag) MarshalYAML() (any, error) { return nil, errEncoded }

var errEncoded = errors.New(
	"a databag.Bag is not encoded because it may hold keys: convert it to map[string]string first",
)

// showKey makes a key fit for a text: plain keys as they are, others quoted, long
// ones cut.
func showKey(key string) string {
	cut := len(key) > maxShownKey
	if cut {
		key = key[:maxShownKey]
	}
	plain := key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == ':' || r == ','
	})
	if !plain {
		key = fmt.Sprintf("%q", key)
	}
	if cut {
		key += "…"
	}
	return key
}
