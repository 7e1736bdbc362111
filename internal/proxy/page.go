package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// The answers to a request that may come from a page in a browser.
const (
	refusedOrigin = "refused: the request comes from a web page (it has an Origin header), " +
		"and pages may not use etcd; a program leaves Origin out"
	refusedSite = "refused: the request comes from a page of another site (Sec-Fetch-Site says so), " +
		"and pages may not use etcd"
	refusedHost = "refused: a web page may lead here under a name of its own, so the Host header " +
		"has to be localhost, a loopback address or the address that the proxy listens on; " +
		"use http://127.0.0.1 with the proxy's port"
)

// forbidden says why r may have been caused by a page in a browser; empty means that it was not.
//
// A browser sends Origin with every request that can change something, and with each whose answer
// the page is to read (Fetch standard, section 3.2). It leaves Origin out where the page has the
// request's own origin. An attacker gets there by changing the DNS entry of the page's name (DNS
// rebinding), and Host then has the page's name. What is left are reads whose answer no page sees;
// browsers of today mark them with Sec-Fetch-Site. An address in Host cannot be rebound.
//
// No page reaches a unix socket, and its clients may send any Host. A program that forwards a
// browser's requests to it forwards Origin too.
//
// local is the address the client connected to, listen what the configuration calls it.
func forbidden(r *http.Request, local net.Addr, listen []string) string {
	if _, ok := r.Header["Origin"]; ok {
		return refusedOrigin
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "none" && site != "same-origin" {
		return refusedSite
	}
	if _, is := local.(*net.UnixAddr); is {
		return ""
	}
	// Browsers speak HTTP/1.1; simple health checks speak HTTP/1.0 and name no host.
	if r.Host == "" && !r.ProtoAtLeast(1, 1) {
		return ""
	}
	host := hostOf(r.Host)
	named := func(address string) bool {
		return host != "" && strings.EqualFold(host, hostOf(address))
	}
	if strings.EqualFold(host, "localhost") || slices.ContainsFunc(listen, named) {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		tcp, ok := local.(*net.TCPAddr)
		if ip.Unmap().IsLoopback() || ok && ip.Unmap() == tcp.AddrPort().Addr().Unmap() {
			return ""
		}
	}
	return refusedHost
}

// hostOf is the host of "host", "host:port", "[IPv6]" or "[IPv6]:port", without DNS's last dot.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	return strings.TrimSuffix(host, ".")
}

// rarely bounds how often something is logged: a page can try without end.
type rarely struct {
	mu     sync.Mutex
	next   time.Time
	silent int
}

// silence is how long similar lines are not logged after one was.
const silence = time.Minute

// say reports whether to log now, and how many were not logged since the last.
func (r *rarely) say(now time.Time) (bool, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.next) {
		r.silent++
		return false, 0
	}
	silent := r.silent
	r.next, r.silent = now.Add(silence), 0
	return true, silent
}
