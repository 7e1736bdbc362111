package pid1

import (
	"slices"
	"time"
)

// timer is the content of a timer's file. It elapses as early as allowed: AccuracySec= and
// RandomizedDelaySec= are ignored.
type timer struct {
	triggers  []trigger
	calendars []calendar
	unit      string // the unit that it starts
	remain    bool   // stays active when it cannot elapse any more
}

// trigger is a delay after an event.
type trigger struct {
	after string // the setting, which names the event
	delay time.Duration
}

func (t *timer) setTimer(key, value string) (known bool, err error) {
	switch key {
	case "OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec":
		delay, err := duration(value)
		t.triggers = append(t.triggers, trigger{key, delay})
		return true, err
	case "OnCalendar":
		c, err := parseCalendar(value)
		t.calendars = append(t.calendars, c)
		return true, err
	case "Unit":
		t.unit, err = fullName(value)
	case "RemainAfterElapse":
		t.remain, err = boolean(value)
	default:
		return false, nil
	}
	return true, err
}

// due returns when the timer elapses next; the zero time means never.
func (u *unit) due(target *unit) time.Time {
	var all []time.Time
	for _, t := range u.file.triggers {
		var base time.Time
		once := false
		switch t.after {
		case "OnActiveSec":
			base, once = u.began, true
		case "OnBootSec", "OnStartupSec":
			base, once = u.m.booted, true
		case "OnUnitActiveSec":
			base = later(target.began, u.elapsed)
		case "OnUnitInactiveSec":
			base = later(target.rested, u.elapsed)
		}
		at := base.Add(t.delay)
		if base.IsZero() || once && !u.elapsed.IsZero() && !at.After(u.elapsed) {
			continue
		}
		all = append(all, at)
	}
	for _, c := range u.file.calendars {
		if at := c.next(later(u.began, u.elapsed)); !at.IsZero() {
			all = append(all, at)
		}
	}
	if len(all) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(all, time.Time.Compare)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// wait starts the timer's unit each time the timer elapses, until the timer is stopped. While that
// unit runs, wait waits for it to end.
func (u *unit) wait() {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	for !u.ended {
		target, err := u.m.unit(u.file.unit)
		switch {
		case err != nil || target.text == nil && !target.running():
			u.say("%s: Failed to queue unit startup job: Unit %s not found.", u.name, u.file.unit)
			u.rest(exit{why: "resources"})
			return
		case u.firing && target.running():
			u.become(active, "running")
			u.m.changed.Wait()
			continue
		}
		u.firing = false
		at := u.due(target)
		switch {
		case at.IsZero() && !u.file.remain:
			u.ended = true
		case at.IsZero():
			u.become(active, "elapsed")
			u.m.changed.Wait()
		case time.Until(at) > 0:
			u.become(active, "waiting")
			alarm := time.AfterFunc(time.Until(at), func() {
				u.m.mu.Lock()
				defer u.m.mu.Unlock()
				u.m.changed.Broadcast()
			})
			u.m.changed.Wait()
			alarm.Stop()
		default:
			u.elapsed, u.firing = time.Now(), true
			target.start()
		}
	}
	u.rest(exit{})
}
