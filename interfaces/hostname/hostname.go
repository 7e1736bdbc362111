// Package hostname decides what is a host name, for every text that comes from an option, a bag,
// Juju or a certificate. No other package decides that.
package hostname

import "strings"

// maxName and maxLabel are in bytes (RFC 1035, 2.3.4).
const (
	maxName  = 253
	maxLabel = 63
)

// Valid reports whether the text is a host name: labels of letters, digits, hyphens and underscores
// between dots, in lower or upper case, without a final dot. RFC 1123 has no underscore, but some
// machines have one in their names, and crypto/x509 issues and verifies such names. A name whose
// last label is a number is a mistyped IPv4 address, and refused.
func Valid(text string) bool {
	if len(text) > maxName {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, notInLabel) {
			return false
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

// ValidPattern reports whether the text is what a certificate may name: a host name, or one behind
// "*.".
func ValidPattern(text string) bool { return Valid(strings.TrimPrefix(text, "*.")) }

func notInLabel(r rune) bool {
	return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
