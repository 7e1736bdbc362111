// Command progress reads `go test -json`. It prints each package when it ends, each test that took
// a while when it passes, and the whole output of what failed. The rule it keeps: somebody who
// waits for the tests sees within a minute that they go on.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

func main() {
	if err := follow(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "progress:", err)
		os.Exit(1)
	}
}

// while is how long a test must take to be named when it passes.
const while = 5 * time.Second

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64 // seconds
	Output  string
}

func (e event) took() time.Duration { return time.Duration(e.Elapsed * float64(time.Second)) }

// key is the package or test that the event is about.
func (e event) key() string { return e.Package + " " + e.Test }

// follow prints until the stream ends. It does not report whether tests failed: go test's exit code
// does.
func follow(in io.Reader, out io.Writer) error {
	began := time.Now()
	said := map[string]*strings.Builder{} // the output of each test and package so far
	tests, failures := 0, 0
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // of go itself
			continue
		}
		switch e.Action {
		case "output":
			if said[e.key()] == nil {
				said[e.key()] = &strings.Builder{}
			}
			said[e.key()].WriteString(e.Output)
			continue
		case "build-output":
			fmt.Fprint(out, e.Output)
			continue
		case "pass", "fail", "skip":
		default:
			continue
		}
		words := ""
		if b := said[e.key()]; b != nil {
			words = b.String()
		}
		delete(said, e.key())
		if e.Test == "" {
			fmt.Fprint(out, closing(e, words))
			continue
		}
		tests++
		short := e.Package[strings.LastIndexByte(e.Package, '/')+1:] + " " + e.Test
		switch {
		case e.Action == "fail":
			failures++
			fmt.Fprintf(out, "FAIL\t%s\t%.1fs\n%s", short, e.Elapsed, words)
		case e.Action == "skip":
			fmt.Fprintf(out, "skip\t%s\n%s", short, words)
		case e.took() >= while:
			fmt.Fprintf(out, "    \t%s\t%.1fs\n", short, e.Elapsed)
		}
	}
	fmt.Fprintf(out, "DONE %d tests, %d failures in %.0fs\n",
		tests, failures, time.Since(began).Seconds())
	return lines.Err()
}

// closing is what is printed for a package: the line that go test itself prints last and, if it
// failed, its whole output outside its tests.
func closing(e event, words string) string {
	if e.Action == "fail" {
		if words == "" {
			words = fmt.Sprintf("FAIL\t%s\n", e.Package)
		}
		return words
	}
	words = strings.TrimRight(words, "\n")
	return words[strings.LastIndexByte(words, '\n')+1:] + "\n"
}
