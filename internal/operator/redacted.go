package operator

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is the whole text of a value that holds a private key, however it is printed, logged or
// encoded.
const redacted = "[redacted]"

// Format prints [redacted] under every verb and flag.
func (Upstream) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue is [redacted].
func (Upstream) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns [redacted], for JSON and other encoders.
func (Upstream) MarshalText() ([]byte, error) { return []byte(redacted), nil }
