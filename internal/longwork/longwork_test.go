package longwork

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

const diesVar = "LONGWORK_TEST_DIES"

// TestMain makes the test binary also act as a program that dies in the middle of its work.
func TestMain(m *testing.M) {
	if dir := os.Getenv(diesVar); dir != "" {
		_ = Run(context.Background(), dir, map[operator.WorkKind]Do{
			operator.Drill: func(_ context.Context, _ operator.WorkRequest, p Progress) (string, error) {
				p("copy", 120<<20, 340<<20)
				os.Exit(9)
				return "", nil
			},
		})
	}
	os.Exit(m.Run())
}

func begin(t *testing.T, r operator.WorkRequest) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), r.ID)
	require.NoError(t, Begin(dir, r, time.Unix(1000, 0)))
	return dir
}

func TestRun(t *testing.T) {
	t.Parallel()
	request := operator.WorkRequest{ID: "one", Kind: operator.Drill, Snapshot: "latest"}
	for name, tc := range map[string]struct {
		do     Do
		state  operator.WorkState
		result string
		why    string
	}{
		"done": {do: func(context.Context, operator.WorkRequest, Progress) (string, error) { return "all of it", nil }, state: operator.WorkDone, result: "all of it"},
		"failed": {
			do: func(context.Context, operator.WorkRequest, Progress) (string, error) {
				return "", errors.New("no room")
			},
			state: operator.WorkFailed, why: "no room",
		},
		"a panic":            {do: func(context.Context, operator.WorkRequest, Progress) (string, error) { panic("x") }, state: operator.WorkFailed, why: "internal error: see the journal of its service"},
		"of a later release": {state: operator.WorkFailed, why: "this release does not know this kind of work: drill"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := begin(t, request)
			kinds := map[operator.WorkKind]Do{}
			if tc.do != nil {
				kinds[operator.Drill] = func(ctx context.Context, r operator.WorkRequest, p Progress) (string, error) {
					assert.Equal(t, request, r)
					p("copy", 1<<20, 3<<20)
					w, ok := Look(dir)
					require.True(t, ok)
					assert.Equal(t, operator.Work{WorkRequest: request, State: operator.WorkRuns, Began: 1000, Progress: "copy: 1 of 3 MiB", Moved: w.Moved}, w)
					assert.Greater(t, w.Moved, w.Began)
					require.ErrorIs(t, Run(ctx, dir, nil), ErrHeld, "nobody does it twice")
					return tc.do(ctx, r, p)
				}
			}
			err := Run(t.Context(), dir, kinds)
			w, ok := Look(dir)
			require.True(t, ok)
			assert.Equal(t, tc.state, w.State)
			assert.Equal(t, tc.result, w.Result)
			assert.Equal(t, tc.why, w.Error)
			assert.Empty(t, w.Progress)
			assert.Equal(t, tc.why == "", err == nil, "%v", err)
		})
	}
}

// TestWhenItLastMoved: progress that is reported again and says the same does not count as moved.
func TestWhenItLastMoved(t *testing.T) {
	t.Parallel()
	dir := begin(t, operator.WorkRequest{ID: "one", Kind: operator.Drill})
	w, _ := Look(dir)
	assert.Equal(t, w.Began, w.Moved)
	say, was := tell(dir, 0), time.Now().Add(-time.Hour)
	for _, step := range []struct {
		what  string
		done  int64
		moved bool
	}{{"copy", 5 << 20, true}, {"copy", 5<<20 + 1, false}, {"copy", 6 << 20, true}, {"wait", 0, true}, {"wait", 0, false}} {
		say(step.what, step.done, 9<<20)
		w, _ = Look(dir)
		assert.Equal(t, step.moved, w.Moved != was.Unix(), "%+v", step)
		require.NoError(t, os.Chtimes(filepath.Join(dir, progressFile), was, was))
	}
}

// TestEndedByOthers: work that is ended returns an error, and a look shows why it ended.
func TestEndedByOthers(t *testing.T) {
	t.Parallel()
	dir := begin(t, operator.WorkRequest{ID: "one", Kind: operator.Drill})
	ctx, cancel := context.WithCancelCause(t.Context())
	err := Run(ctx, dir, map[operator.WorkKind]Do{operator.Drill: func(ctx context.Context, _ operator.WorkRequest, _ Progress) (string, error) {
		cancel(errors.New("SIGTERM"))
		return "", ctx.Err()
	}})
	require.Error(t, err)
	w, _ := Look(dir)
	assert.Equal(t, "it was ended: SIGTERM", w.Error)
}

// TestLookedAtAsItBegins: a look while work is being taken up neither takes it for dead nor keeps
// it from being done.
func TestLookedAtAsItBegins(t *testing.T) {
	t.Parallel()
	do := map[operator.WorkKind]Do{
		operator.Drill: func(context.Context, operator.WorkRequest, Progress) (string, error) { return "all of it", nil },
	}
	for range 100 {
		dir := begin(t, operator.WorkRequest{ID: "one", Kind: operator.Drill})
		over := make(chan struct{})
		var lookers sync.WaitGroup
		for range 4 {
			lookers.Go(func() {
				for {
					w, _ := Look(dir)
					assert.NotEqual(t, operator.WorkFailed, w.State, w.Error)
					select {
					case <-over:
						return
					default:
					}
				}
			})
		}
		assert.NoError(t, Run(t.Context(), dir, do))
		close(over)
		lookers.Wait()
		if t.Failed() {
			return
		}
	}
}

// TestDiesWithoutAWord: the kernel frees the lock of a process that was killed.
func TestDiesWithoutAWord(t *testing.T) {
	t.Parallel()
	dir := begin(t, operator.WorkRequest{ID: "one", Kind: operator.Drill})
	w, ok := Look(dir)
	require.True(t, ok)
	assert.Equal(t, operator.WorkRuns, w.State, "it comes up")
	require.NoError(t, os.Chtimes(filepath.Join(dir, RequestFile), time.Time{}, time.Now().Add(-time.Minute)))
	w, _ = Look(dir)
	assert.Equal(t, operator.WorkFailed, w.State, "it has not come up")
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), diesVar+"="+dir)
	require.Error(t, cmd.Run())
	w, ok = Look(dir)
	require.True(t, ok)
	assert.Equal(t, operator.WorkFailed, w.State)
	assert.Equal(t, "it ended without a result, at copy: 120 of 340 MiB", w.Error)
	assert.NotZero(t, w.Ended)
}

// TestFinishedWorkIsKept: the last work of each kind that ended is kept.
func TestFinishedWorkIsKept(t *testing.T) {
	t.Parallel()
	below := t.TempDir()
	nothing := func(context.Context, operator.WorkRequest, Progress) (string, error) { return "", nil }
	kinds := map[operator.WorkKind]Do{operator.Drill: nothing, operator.VerifySnapshot: nothing}
	for i, r := range []operator.WorkRequest{{ID: "a", Kind: operator.Drill}, {ID: "b", Kind: operator.VerifySnapshot}, {ID: "c", Kind: operator.Drill}} {
		require.NoError(t, Begin(filepath.Join(below, r.ID), r, time.Unix(int64(100-i), 0)))
		require.NoError(t, Run(t.Context(), filepath.Join(below, r.ID), kinds))
	}
	ids := func() (out []string) {
		for _, w := range All(below) {
			out = append(out, w.ID)
		}
		return out
	}
	assert.Equal(t, []string{"c", "b", "a"}, ids(), "by when they began")
	require.NoError(t, os.WriteFile(filepath.Join(below, "file"), nil, 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(below, "empty"), 0o700))
	require.NoError(t, Prune(below))
	assert.Equal(t, []string{"b", "a"}, ids())
	require.NoError(t, Begin(filepath.Join(below, "a"), operator.WorkRequest{ID: "a", Kind: operator.Drill}, time.Now()))
	w, _ := Look(filepath.Join(below, "a"))
	assert.Empty(t, w.Result, "begun again, what was is forgotten")
	assert.Empty(t, All(filepath.Join(below, "nowhere")))
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	dir := begin(t, operator.WorkRequest{ID: "one", Kind: operator.Drill})
	require.NoError(t, os.WriteFile(filepath.Join(dir, RequestFile), []byte("{"), 0o600))
	_, ok := Look(dir)
	assert.False(t, ok)
	require.Error(t, Run(t.Context(), dir, nil))
	_, ok = Look(t.TempDir())
	assert.False(t, ok)
}
