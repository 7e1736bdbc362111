package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"
)

// sniffTimeout is how long a client may stay silent after it connected. Every client of etcd speaks
// first, with an HTTP request or the HTTP/2 preface, but it may connect before it has something to
// ask.
const sniffTimeout = headerTimeout

// http2Preface is the first part of the HTTP/2 connection preface (RFC 9113, section 3.4). No
// HTTP/1 request begins so: the method PRI is reserved for it.
const http2Preface = "PRI * HTTP/2.0"

type protocol int

const (
	undecided protocol = iota
	http1
	http2
	alien // neither; mostly TLS sent to the plaintext port
)

var errAlien = errors.New("the client speaks neither HTTP/1 nor HTTP/2 in plaintext")

// classify returns the protocol that a connection's first bytes show.
func classify(head []byte) protocol {
	if len(head) == 0 {
		return undecided
	}
	if head[0] < 'A' || head[0] > 'Z' {
		return alien
	}
	if bytes.HasPrefix(head, []byte(http2Preface)) {
		return http2
	}
	if len(head) < len(http2Preface) && http2Preface[:len(head)] == string(head) {
		return undecided
	}
	return http1
}

// sniff reads into buf until the client's protocol is known and returns how
// many bytes it read. buf holds at least the preface.
func sniff(c net.Conn, buf []byte) (int, protocol, error) {
	if err := c.SetReadDeadline(time.Now().Add(sniffTimeout)); err != nil {
		return 0, undecided, fmt.Errorf("cannot wait for the client: %w", err)
	}
	n := 0
	for {
		m, err := c.Read(buf[n:])
		n += m
		switch p := classify(buf[:n]); p {
		case undecided:
		case alien:
			return n, p, errAlien
		default:
			return n, p, c.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return n, undecided, fmt.Errorf("cannot read the client's first bytes: %w", err)
		}
	}
}
