package pid1

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// split splits a value into words as systemd does (systemd.syntax(7), Quoting): white space
// separates them, quotes keep them together, and a backslash escapes a character as in C.
// Specifiers are not supported.
func split(value string) ([]string, error) {
	var words []string
	for value = strings.TrimLeft(value, " \t\n"); value != ""; value = strings.TrimLeft(value, " \t\n") {
		word, rest, err := word(value)
		if err != nil {
			return nil, err
		}
		if word, err = single(word, '%', "specifiers"); err != nil {
			return nil, err
		}
		words, value = append(words, word), rest
	}
	return words, nil
}

// word reads the first word of the value, and returns it and the rest.
func word(value string) (string, string, error) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\':
			char, length, err := escaped(value[i+1:])
			if err != nil {
				return "", "", err
			}
			b.WriteByte(char)
			i += length
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && strings.IndexByte(" \t\n", c) >= 0:
			return b.String(), value[i:], nil
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", "", errors.New("a quote is not closed")
	}
	return b.String(), "", nil
}

// escaped reads the character after a backslash, and returns how many bytes it takes.
func escaped(text string) (byte, int, error) {
	if text == "" {
		return 0, 0, errors.New("a backslash stands before nothing")
	}
	if at := strings.IndexByte(`abfnrtvs\"'`, text[0]); at >= 0 {
		return "\a\b\f\n\r\t\v \\\"'"[at], 1, nil
	}
	if text[0] == 'x' && len(text) >= 3 {
		if n, err := strconv.ParseUint(text[1:3], 16, 8); err == nil && n != 0 {
			return byte(n), 3, nil
		}
	}
	return 0, 0, fmt.Errorf("\\%c is not known here", text[0])
}

// single turns each doubled mark into one. It refuses a single mark, which would have a meaning of
// its own.
func single(word string, mark byte, what string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		if word[i] == mark {
			if i++; i == len(word) || word[i] != mark {
				return "", fmt.Errorf("%s are not known here: %q", what, word)
			}
		}
		b.WriteByte(word[i])
	}
	return b.String(), nil
}

// quote quotes a word so that split reads it back.
func quote(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "%", "%%").Replace(word) + `"`
}

// duration parses a time span, "2", "500ms", "1min 30s"; a number without a unit is in seconds. A
// span without an end is 0.
func duration(value string) (time.Duration, error) {
	if value == "infinity" {
		return 0, nil
	}
	const day = 24 * time.Hour
	units := map[string]time.Duration{
		"": time.Second, "us": time.Microsecond, "ms": time.Millisecond,
		"s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
		"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
		"h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
		"d": day, "day": day, "days": day, "w": 7 * day, "week": 7 * day, "weeks": 7 * day,
	}
	var total time.Duration
	rest := strings.TrimSpace(value)
	for first := true; first || rest != ""; first = false {
		end := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if end < 0 {
			end = len(rest)
		}
		number, err := strconv.ParseFloat(rest[:end], 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no time span", value)
		}
		rest = strings.TrimLeft(rest[end:], " ")
		if end = strings.IndexFunc(rest, func(r rune) bool { return r < 'a' || r > 'z' }); end < 0 {
			end = len(rest)
		}
		unit, ok := units[rest[:end]]
		if !ok {
			return 0, fmt.Errorf("%q is no time span", value)
		}
		total += time.Duration(number * float64(unit))
		rest = strings.TrimLeft(rest[end:], " ")
	}
	return total, nil
}
