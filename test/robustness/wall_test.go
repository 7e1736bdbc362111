package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// teller prints for each line that it reads: the time of day as a timer has it, the time of day,
// how long it has run, and the time of day when it began. The scheduler asks for a timer's time,
// and there the library may do far less.
const teller = `package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

var first = time.Now()

func main() {
	began := time.Now()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fired := <-time.After(20 * time.Millisecond)
		now := time.Now()
		fmt.Println(fired.UnixNano(), now.UnixNano(), int64(now.Sub(began)), first.UnixNano())
	}
}
`

// time4 is what the teller prints.
type time4 struct {
	fired, now, first time.Time
	since             time.Duration
}

// told runs the teller on a machine, and asks it.
func told(t *testing.T, program string) (ask func() time4) {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { in.Close(); assert.NoError(t, cmd.Wait()) })
	lines := bufio.NewScanner(out)
	return func() time4 {
		t.Helper()
		_, err := in.Write([]byte("\n"))
		require.NoError(t, err)
		require.True(t, lines.Scan(), "it tells the time")
		var n [4]int64
		_, err = fmt.Sscan(lines.Text(), &n[0], &n[1], &n[2], &n[3])
		require.NoError(t, err)
		return time4{fired: time.Unix(0, n[0]), now: time.Unix(0, n[1]), since: time.Duration(n[2]), first: time.Unix(0, n[3])}
	}
}

// The wall clock is off as the machine's file says, and the clock of timers and durations is not.
func TestClock(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), machinesDir, "another") // which has no clock
	source, program := filepath.Join(dir, "teller.go"), filepath.Join(dir, machinesDir, "m7", "bin", "teller")
	require.NoError(t, os.MkdirAll(filepath.Dir(program), 0o700))
	require.NoError(t, os.WriteFile(source, []byte(teller), 0o600))
	require.NoError(t, build(t.Context(), "../..", dir, "", source, program))
	k := clock{file: filepath.Join(dir, machinesDir, "m7", clockFile)}
	other := clock{file: filepath.Join(dir, machinesDir, "m8", clockFile)}
	require.NoError(t, os.Mkdir(filepath.Dir(other.file), 0o700))
	require.NoError(t, other.set(time.Hour))

	began := time.Now()
	ask := told(t, program)
	for _, off := range slices.Concat([]time.Duration{0}, offs(), []time.Duration{1500 * time.Millisecond, -1500 * time.Millisecond, 0}) {
		require.NoError(t, k.set(off))
		before := time.Now()
		told := ask()
		after := time.Now()
		assert.WithinRange(t, told.fired, before.Add(off), after.Add(off), "off by %v", off)
		assert.WithinRange(t, told.now, told.fired, after.Add(off), "off by %v", off)
		assert.Positive(t, told.since)
		assert.Less(t, told.since, time.Since(began), "durations go on as ever, off by %v", off)
	}

	// A program that begins while the clock is off sees that from the start.
	require.NoError(t, k.set(-24*time.Hour))
	young := told(t, program)()
	assert.WithinDuration(t, time.Now().Add(-24*time.Hour), young.now, time.Minute)
	assert.WithinDuration(t, young.now, young.first, time.Minute)
	assert.Less(t, young.since, time.Minute)

	// A file that does not hold a number counts as missing.
	require.NoError(t, os.WriteFile(k.file, []byte("soon"), 0o600))
	assert.WithinDuration(t, time.Now(), told(t, program)().now, time.Minute)
}

// With an unknown version of the standard library the build fails; otherwise the clock could not be
// set.
func TestPatch(t *testing.T) {
	t.Parallel()
	got, err := patch("package time\n\n"+nowBegins+"\treturn\n}\n", "go1.0")
	require.NoError(t, err)
	assert.Equal(t, "package time\n\n"+nowBegins+nowAsks+"\treturn\n}\n", got)
	for _, source := range []string{"package time\n\nfunc Now() Time {\n\treturn now()\n}\n", nowBegins + nowBegins} {
		_, err := patch(source, "go1.0")
		assert.ErrorContains(t, err, "go1.0")
	}
}
