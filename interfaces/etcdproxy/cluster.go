package etcdproxy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/juju-charms/etcd-charm/interfaces/hostname"
)

const (
	// MaxList is the longest cluster or client_urls setting in bytes that is read: 64 KiB.
	MaxList = 64 << 10
	// MaxMembers is the largest number of members or client URLs that is read. etcd
	// itself advises against more than seven members.
	MaxMembers = 1000

	maxVersion = 64
)

// ParseCluster reads a cluster setting, "name=url,name=url", into members sorted by name. It is
// strict, because the oldest readers split at "," and check nothing more: one URL per member, http
// or https, with host and port and nothing else, IPv6 in brackets; names and URLs are unique; there
// is white space only around the whole. It takes at most MaxList bytes and MaxMembers members. The
// error names the offending piece by its position from 1 and repeats nothing of the text.
func ParseCluster(text string) ([]Member, error) {
	members, err := parseCluster(text)
	if err != nil {
		return nil, fmt.Errorf("cannot parse cluster string: %w", err)
	}
	return members, nil
}

func parseCluster(text string) ([]Member, error) {
	pieces, err := splitList(text)
	if err != nil {
		return nil, err
	}
	members := make([]Member, 0, len(pieces))
	names, urls := make(map[string]int), make(map[string]int)
	for i, piece := range pieces {
		position := i + 1
		name, url, err := splitPiece(piece)
		if err != nil {
			return nil, fmt.Errorf("piece %d %w", position, err)
		}
		at, err := urlHost(url)
		if err != nil {
			return nil, fmt.Errorf("piece %d has a URL %w", position, err)
		}
		if first := names[name]; first != 0 {
			return nil, fmt.Errorf("piece %d has the name of piece %d", position, first)
		}
		if first := urls[at]; first != 0 {
			return nil, fmt.Errorf("piece %d has the URL of piece %d", position, first)
		}
		names[name], urls[at] = position, position
		members = append(members, Member{Name: name, PeerURL: url})
	}
	return sortMembers(members), nil
}

// parseURLs reads a client_urls setting into sorted URLs, as strict as parseCluster.
func parseURLs(text string) ([]string, error) {
	pieces, err := splitList(text)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]int)
	for i, piece := range pieces {
		position := i + 1
		at, err := urlHost(piece)
		if err != nil {
			return nil, fmt.Errorf("piece %d is a URL %w", position, err)
		}
		if first := seen[at]; first != 0 {
			return nil, fmt.Errorf("piece %d repeats piece %d", position, first)
		}
		seen[at] = position
	}
	return slices.Sorted(slices.Values(pieces)), nil
}

// splitList splits at commas. It looks at lengths and counts before it allocates.
func splitList(text string) ([]string, error) {
	if len(text) > MaxList {
		return nil, fmt.Errorf("has %d bytes, more than the %d allowed", len(text), MaxList)
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, errors.New("is empty")
	}
	if count := strings.Count(text, ",") + 1; count > MaxMembers {
		return nil, fmt.Errorf("has %d pieces, more than the %d allowed", count, MaxMembers)
	}
	pieces := strings.Split(text, ",")
	for i, piece := range pieces {
		switch {
		case piece == "":
			return nil, fmt.Errorf("piece %d is empty", i+1)
		case !utf8.ValidString(piece) || strings.ContainsFunc(piece, notGraphic):
			return nil, fmt.Errorf("piece %d has a space or an unprintable character", i+1)
		}
	}
	return pieces, nil
}

func notGraphic(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }

func splitPiece(piece string) (name, url string, err error) {
	name, url, found := strings.Cut(piece, "=")
	switch {
	case !found && strings.Contains(name, "://"), found && name == "":
		return "", "", errors.New("has no name")
	case url == "":
		return "", "", errors.New("has no URL")
	}
	return name, url, nil
}

// urlHost checks a URL and returns its host and port in a form in which two of them can be
// compared. The rules are etcd's own for peer URLs (client/pkg/types, NewURLs: scheme, host and
// port, no path), and stricter: an unspecified address or one with a zone is refused as well,
// because it cannot be dialled. The errors continue a sentence that begins with "a URL".
func urlHost(url string) (string, error) {
	scheme, rest, found := strings.Cut(url, "://")
	if !found || scheme != "http" && scheme != "https" {
		return "", errors.New("that is neither http nor https")
	}
	if strings.HasPrefix(rest, "[") {
		return bracketedHost(rest)
	}
	host, port, _ := strings.Cut(rest, ":")
	if strings.Contains(port, ":") {
		return "", errors.New("with a bare IPv6 address: it needs brackets")
	}
	if host == "" {
		return "", errors.New("without a host")
	}
	if err := checkPort(port); err != nil {
		return "", err
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return dialable(addr, port)
	}
	if !hostname.Valid(strings.TrimSuffix(host, ".")) {
		return "", errors.New("with more than scheme, host and port, or a broken host name")
	}
	return strings.ToLower(host) + ":" + port, nil
}

func bracketedHost(rest string) (string, error) {
	host, after, found := strings.Cut(rest[1:], "]")
	addr, err := netip.ParseAddr(host)
	if !found || err != nil || !addr.Is6() {
		return "", errors.New("with a broken IPv6 address")
	}
	port, found := strings.CutPrefix(after, ":")
	if !found {
		return "", errors.New("without a port")
	}
	if err := checkPort(port); err != nil {
		return "", err
	}
	return dialable(addr, port)
}

func dialable(addr netip.Addr, port string) (string, error) {
	if addr.IsUnspecified() || addr.Zone() != "" {
		return "", errors.New("whose address means nothing to another machine")
	}
	return addr.Unmap().String() + ":" + port, nil
}

func checkPort(port string) error {
	if port == "" {
		return errors.New("without a port")
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 || strconv.FormatUint(number, 10) != port {
		return errors.New("with a broken port, or with more than scheme, host and port")
	}
	return nil
}

// checkVersion accepts etcd's versions: digits, dots, and a suffix such as "-rc.1".
func checkVersion(version string) error {
	if len(version) > maxVersion {
		return fmt.Errorf("has %d bytes, more than the %d allowed", len(version), maxVersion)
	}
	if version == "" || version[0] < '0' || version[0] > '9' ||
		strings.ContainsFunc(version, func(r rune) bool {
			return !strings.ContainsRune(".-+~", r) &&
				(r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
		return errors.New("is not a version")
	}
	return nil
}
