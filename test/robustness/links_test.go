package main

import (
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wired is a machine that echoes, behind a link; this process acts as the machine that calls.
func wired(t *testing.T) (l *links, address, port string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.44.0.7:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
	_, port, err = net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	l = newLinks(port, func(socket string) string {
		if has(strconv.Itoa(os.Getpid()), socket) {
			return "me"
		}
		return ""
	})
	t.Cleanup(func() { l.Close() })
	address = "127.44.0.7"
	require.Equal(t, "127.144.0.7", l.reach(address))
	require.Equal(t, "127.144.0.7", l.reach(address), "there once")
	return l, address, port
}

func call(t *testing.T, port string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", "127.144.0.7:"+port)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func echoes(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	require.NoError(t, err)
	hears(t, conn, text)
}

func hears(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	got := make([]byte, len(text))
	_, err := io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

func waits(t *testing.T, l *links, times int) {
	t.Helper()
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.cuts >= times
	}, time.Minute, time.Millisecond)
}

func TestLink(t *testing.T) {
	t.Parallel()
	l, address, port := wired(t)
	conn := call(t, port)
	echoes(t, conn, "one")

	// A cut between other machines changes nothing here.
	l.set(rule{cut: true}, address, "somebody else")
	echoes(t, conn, "two")

	// What is sent over a cut wire waits, on an old connection and on a new one.
	l.set(rule{cut: true}, "me", address)
	_, err := conn.Write([]byte("three"))
	require.NoError(t, err)
	waits(t, l, 1)
	fresh := call(t, port)
	_, err = fresh.Write([]byte("four"))
	require.NoError(t, err)
	waits(t, l, 2)
	l.set(rule{}, "me", address)
	hears(t, conn, "three")
	hears(t, fresh, "four")

	// A slow wire delays both directions.
	l.set(rule{delay: 100 * time.Millisecond}, address, "me")
	began := time.Now()
	echoes(t, conn, "five")
	assert.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)

	// The end arrives.
	require.NoError(t, conn.Close())
	require.NoError(t, l.Close())
	_, err = fresh.Read(make([]byte, 1))
	require.Error(t, err)
}

func TestLinkToNobodyIsRefused(t *testing.T) {
	t.Parallel()
	l := newLinks("2380", func(string) string { return "" })
	defer l.Close()
	require.Equal(t, "127.145.0.8", l.reach("127.45.0.8"))
	conn, err := net.Dial("tcp", "127.145.0.8:2380")
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	assert.Equal(t, "10.0.0.1", l.reach("10.0.0.1"))
	require.Error(t, l.Close(), "what cannot be reached is told")
}
