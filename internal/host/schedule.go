package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// The timer's files. The timer only asks, at short intervals, whether a snapshot is due. So a
// member that was no voter, or a machine that was off when one was due, is asked again soon. And
// the times of day do not depend on when the timer was started.
const (
	timerText = `# Written by the etcd charm for unit %[1]s. Changes here are overwritten.
[Unit]
Description=snapshots of Juju unit %[1]s

[Timer]
OnActiveSec=%[2]d
OnUnitInactiveSec=%[2]d
AccuracySec=1s

[Install]
WantedBy=timers.target
`
	snapshotText = `# Written by the etcd charm for unit %[1]s. Changes here are overwritten.
[Unit]
Description=snapshot of Juju unit %[1]s, if one is due

[Service]
# A charm that was rolled back to one without snapshots takes no timer away, though this program in time.
ExecCondition=/usr/bin/test -x %[2]s
ExecStart=%[2]s work --due %[3]s --charm %[4]s
RuntimeMaxSec=%[5]d
TimeoutStopSec=%[6]d
%[7]s
`
)

// askEvery returns how often, in seconds, the timer asks whether a snapshot is due.
func askEvery(interval int64) int64 { return min(max(interval/12, 5), 1800) }

// scheduleFiles returns the files of a schedule: the settings for the work and, if snapshots are
// taken on a schedule, the timer with its service.
func (h *Host) scheduleFiles(s operator.Schedule) ([]file, error) {
	carried, err := carriedRelease(h.carried, h.stamp)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	files := []file{{path: h.snapshotConfig(), data: append(text, '\n')}}
	if s.Interval == 0 {
		return files, nil
	}
	for _, part := range []string{h.unitName, h.binary(carried), h.snapshotConfig(), h.charmDir()} {
		if strings.ContainsFunc(part, notPlain) {
			return nil, fmt.Errorf("cannot write timer: %q has special characters", part)
		}
	}
	timer := fmt.Sprintf(timerText, h.unitName, askEvery(s.Interval))
	service := fmt.Sprintf(snapshotText,
		h.unitName, h.binary(carried), h.snapshotConfig(), h.charmDir(),
		int((workTime + time.Minute).Seconds()), int(endTime.Seconds()), strings.Join(sandbox(), "\n"))
	return append(files,
		file{path: h.snapshotServiceFile(), data: []byte(service)},
		file{path: h.timerFile(), data: []byte(timer)},
	), nil
}

// lookSchedule returns the schedule as it is written; the zero value if any part differs from what
// writeSchedule leaves.
func (h *Host) lookSchedule() operator.Schedule {
	s, err := h.readSchedule()
	if err != nil {
		return operator.Schedule{}
	}
	files, err := h.scheduleFiles(s)
	if err != nil {
		return operator.Schedule{}
	}
	for _, f := range files {
		if !f.says() {
			return operator.Schedule{}
		}
	}
	target, err := os.Readlink(h.timerWanted())
	_, written := os.Lstat(h.timerFile())
	if wanted := err == nil && filepath.Base(target) == h.timerName(); wanted != (s.Interval > 0) ||
		(written == nil) != wanted {
		return operator.Schedule{}
	}
	return s
}

func (h *Host) readSchedule() (operator.Schedule, error) {
	var s operator.Schedule
	data, err := regular.Read(h.snapshotConfig())
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(data))
		err = d.Decode(&s)
	}
	return s, err
}

// writeSchedule writes the schedule, and starts the timer or removes it.
func (h *Host) writeSchedule(ctx context.Context, s operator.Schedule) error {
	files, err := h.scheduleFiles(s)
	if err != nil {
		return err
	}
	if s.Interval == 0 {
		if err := h.removeTimer(ctx); err != nil {
			return err
		}
		return h.write(files...)
	}
	for _, f := range files {
		if info, err := os.Lstat(f.path); err == nil && !info.Mode().IsRegular() {
			if err := h.clear(f.path); err != nil {
				return err
			}
		}
	}
	if target, err := os.Readlink(h.timerWanted()); err != nil ||
		filepath.Base(target) != h.timerName() {
		if err := h.clear(h.timerWanted()); err != nil {
			return err
		}
	}
	if err := h.write(files...); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"daemon-reload"}, {"enable", h.timerName()}, {"restart", h.timerName()},
	} {
		if _, err := h.supervisor.systemctl(ctx, args...); err != nil {
			return fmt.Errorf("cannot start timer: %w", err)
		}
	}
	return nil
}

// removeTimer stops the timer and removes it; a snapshot that is being taken goes on.
func (h *Host) removeTimer(ctx context.Context) error {
	_, timed := os.Lstat(h.timerFile())
	if timed == nil {
		for _, args := range [][]string{{"disable", h.timerName()}, {"stop", h.timerName()}} {
			if _, err := h.supervisor.systemctl(ctx, args...); err != nil {
				return fmt.Errorf("cannot stop timer: %w", err)
			}
		}
	}
	var failed []error
	for _, path := range []string{h.timerWanted(), h.timerFile(), h.snapshotServiceFile()} {
		failed = append(failed, os.RemoveAll(path))
	}
	if timed == nil {
		_, err := h.supervisor.systemctl(ctx, "daemon-reload")
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// slot numbers the intervals of the clock, in each of which one snapshot is to be taken. Each
// unit's intervals begin at a different part of the interval: those of units 0, 1, 2, 3 at 0, 1/2,
// 1/4, 3/4 of it.
func slot(at time.Time, interval int64, unit string) int64 {
	_, number, _ := cutLast(unit, "/")
	n, _ := strconv.ParseUint(number, 10, 32)
	part, step := 0.0, 0.5
	for ; n > 0; n, step = n/2, step/2 {
		part += float64(n%2) * step
	}
	shifted := at.Unix() - int64(part*float64(interval))
	return (shifted - ((shifted%interval)+interval)%interval) / interval
}
