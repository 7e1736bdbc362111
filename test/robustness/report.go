package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	// thought is how long the check for linearizability may take. If it is undecided by then, the
	// run does not pass.
	thought = 2 * time.Minute
	// shown bounds how many faults of the same kind are printed; the history has all.
	shown = 20
)

// report is a run and what was found wrong with it.
type report struct {
	settings settings
	nemesis  *nemesis
	history  *history
	watches  []watch
	took     time.Duration
	faults   []string
	log      string // what the charm did, if it did not come to rest
	result   porcupine.CheckResult
	info     porcupine.LinearizationInfo
	judged   time.Duration
}

func (r *report) fault(err error) {
	if err != nil {
		r.faults = append(r.faults, err.Error())
	}
}

// judge compares what clients and watchers saw with what they may see.
func (r *report) judge() {
	began := time.Now()
	resets, faults := otherData(r.history.ops, r.watches, r.nemesis.replaced)
	r.faults = append(append(r.faults, faults...),
		lacking(r.history.ops, r.nemesis.taken, r.nemesis.replaced)...)
	r.result, r.info = linearizable(slices.Concat(r.history.ops, resets), r.watches, thought)
	r.judged = time.Since(began)
	switch r.result {
	case porcupine.Illegal:
		r.faults = append(r.faults, "what clients read and wrote is not linearizable")
	case porcupine.Unknown:
		r.faults = append(r.faults, fmt.Sprintf(
			"undecided: no order of what clients read and wrote was found or refuted in %v",
			thought,
		))
	case porcupine.Ok:
	}
	r.faults = append(r.faults, complete(r.history.ops, r.watches, r.nemesis.replaced)...)
	for _, o := range r.history.ops {
		if o.acknowledged() {
			return
		}
	}
	r.faults = append(r.faults, "nobody wrote anything")
}

// gap is the longest time in which no write was acknowledged, and its beginning.
func gap(ops []op) (longest, from time.Duration) {
	var at []time.Duration
	for _, o := range ops {
		if o.acknowledged() {
			at = append(at, o.Return)
		}
	}
	slices.Sort(at)
	for i := 1; i < len(at); i++ {
		if took := at[i] - at[i-1]; took > longest {
			longest, from = took, at[i-1]
		}
	}
	return longest, from
}

func (r *report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nOPERATION\tOK\tUNKNOWN\tFAILED")
	count := map[[2]string]int{}
	for _, o := range r.history.ops {
		count[[2]string{o.Kind, o.Outcome}]++
	}
	for _, kind := range []string{put, cas, get, peek} {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", kind,
			count[[2]string{kind, done}], count[[2]string{kind, unknown}], count[[2]string{kind, failed}])
	}
	fmt.Fprintln(w, "\nWATCHER\tEVENTS\tOPENED")
	for _, one := range r.watches {
		fmt.Fprintf(w, "%s\t%d\t%d\n", one.Name, len(one.Events), one.Opened)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	n := r.nemesis
	longest, from := gap(r.history.ops)
	fmt.Fprintf(out,
		"\nmaintenance: %s\nfaults: %s; %d found nothing to befall; servers told of %d clocks that they were off; bytes waited %d times at a wire that was cut\n",
		listed(n.did, maintenanceNames), listed(n.did, faultNames),
		n.missed, n.heard, n.cluster.links.cuts)
	fmt.Fprintf(out,
		"snapshots: %d; data replaced: %d times; replacements that came to nothing: %d\n",
		len(n.taken), len(n.replaced), n.failed)
	fmt.Fprintf(out,
		"hooks tried again after they failed: %d\nlongest gap between writes: %v, from %.1fs on\n%d operations in %v, judged in %v\n",
		n.cluster.errored, longest.Round(time.Millisecond), from.Seconds(),
		len(r.history.ops), r.took.Round(time.Second), r.judged.Round(time.Millisecond))
	if len(r.faults) == 0 {
		fmt.Fprintf(out,
			"verdict: linearizable; watches complete and in order; members are the units and hold the same data (seed %d)\n",
			r.settings.Seed)
		return nil
	}
	return r.keep(out)
}

func listed(did map[string]int, names []string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(did)) {
		if slices.Contains(names, name) {
			parts = append(parts, fmt.Sprintf("%d %s", did[name], name))
		}
	}
	return strings.Join(parts, ", ")
}

// keep prints what is wrong, and writes the history for people who investigate.
func (r *report) keep(out io.Writer) error {
	for i, fault := range r.faults {
		if i == shown {
			fmt.Fprintf(out, "… and %d more\n", len(r.faults)-shown)
			break
		}
		fmt.Fprintln(out, "VIOLATION:", fault)
	}
	base := filepath.Join(r.settings.Out, fmt.Sprintf("robustness-%d", r.settings.Seed))
	err := write(base+".json", map[string]any{
		"settings": r.settings, "faults": r.faults,
		"replaced": r.nemesis.replaced, "taken": r.nemesis.taken,
	}, r.history.ops, r.watches)
	if err == nil {
		fmt.Fprintf(out, "history: %s.json\n", base)
	}
	if r.log != "" {
		err = errors.Join(err, os.WriteFile(base+".log", []byte(r.log), 0o600))
		fmt.Fprintf(out, "what the charm did: %s.log\n", base)
	}
	if r.result == porcupine.Illegal {
		if failure := porcupine.VisualizePath(registers(), r.info, base+".html"); failure != nil {
			err = errors.Join(err, fmt.Errorf("cannot draw the history: %w", failure))
		} else {
			fmt.Fprintf(out, "drawn: %s.html\n", base)
		}
	}
	return errors.Join(
		fmt.Errorf("verdict: %d violations; again: %s", len(r.faults), r.settings.again()),
		err,
	)
}
