package pid1

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// calendar is a repeated time (systemd.time(7), Calendar Events), to the second, by this host's
// clock. Days counted from the end of a month, and time zones other than UTC, are not supported.
type calendar struct {
	weekdays, year, month, day, hour, minute, second field
	zone                                             *time.Location
}

// field lists the values that fit; an empty field fits all.
type field []span

// span is a range of values, or every step-th of them.
type span struct{ from, to, step int }

func (f field) fits(value int) bool {
	return len(f) == 0 || slices.ContainsFunc(f, func(s span) bool {
		return s.from <= value && value <= s.to && (value-s.from)%s.step == 0
	})
}

var shorthands = map[string]string{
	"minutely": "*-*-* *:*:00", "hourly": "*-*-* *:00:00", "daily": "*-*-* 00:00:00",
	"weekly": "Mon *-*-* 00:00:00", "monthly": "*-*-01 00:00:00",
	"quarterly": "*-01,04,07,10-01 00:00:00", "semiannually": "*-01,07-01 00:00:00",
	"yearly": "*-01-01 00:00:00", "annually": "*-01-01 00:00:00",
}

func parseCalendar(text string) (calendar, error) {
	c := calendar{zone: time.Local}
	words := strings.Fields(text)
	if n := len(words); n > 0 && words[n-1] == "UTC" {
		c.zone, words = time.UTC, words[:n-1]
	}
	if len(words) == 1 && shorthands[strings.ToLower(words[0])] != "" {
		words = strings.Fields(shorthands[strings.ToLower(words[0])])
	}
	if len(words) == 0 {
		return c, errors.New("no time is given")
	}
	var errs []error
	if strings.ContainsAny(words[0][:1], "MTWFSmtwfs") {
		errs = append(errs, c.weekdays.parse(words[0], 0, 6, weekday))
		words = words[1:]
	}
	date, at := "*-*-*", "00:00:00"
	if len(words) > 0 && strings.Contains(words[0], "-") {
		date, words = words[0], words[1:]
	}
	if len(words) > 0 && strings.Contains(words[0], ":") {
		at, words = words[0], words[1:]
	}
	if len(words) > 0 {
		return c, fmt.Errorf("%q is not known here", words[0])
	}
	days, times := strings.Split(date, "-"), strings.Split(at, ":")
	if len(days) == 2 {
		days = append([]string{"*"}, days...)
	}
	if len(times) == 2 {
		times = append(times, "00")
	}
	if len(days) != 3 || len(times) != 3 {
		return c, fmt.Errorf("%q is no time", text)
	}
	errs = append(errs,
		c.year.parse(days[0], 1970, 2199, strconv.Atoi), c.month.parse(days[1], 1, 12, strconv.Atoi),
		c.day.parse(days[2], 1, 31, strconv.Atoi), c.hour.parse(times[0], 0, 23, strconv.Atoi),
		c.minute.parse(times[1], 0, 59, strconv.Atoi), c.second.parse(times[2], 0, 59, strconv.Atoi))
	return c, errors.Join(errs...)
}

// weekday returns the number of a day by its name, which may be abbreviated; Monday is 0.
func weekday(name string) (int, error) {
	for i, day := range []string{
		"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
	} {
		if low := strings.ToLower(name); low == day || low == day[:3] {
			return i, nil
		}
	}
	return 0, errors.New("no weekday")
}

// parse parses a list such as 1,5..7,10/15; * means all.
func (f *field) parse(text string, least, most int, number func(string) (int, error)) error {
	for part := range strings.SplitSeq(text, ",") {
		values, every, stepped := strings.Cut(part, "/")
		s := span{least, most, 1}
		var errs [3]error
		if values != "*" {
			from, to, ranged := strings.Cut(values, "..")
			s.from, errs[0] = number(from)
			switch {
			case ranged:
				s.to, errs[1] = number(to)
			case !stepped:
				s.to = s.from
			}
		}
		if stepped {
			s.step, errs[2] = strconv.Atoi(every)
		}
		if errors.Join(errs[:]...) != nil ||
			s.from < least || s.to > most || s.from > s.to || s.step < 1 {
			return fmt.Errorf("%q is not from %d to %d, or not known here", part, least, most)
		}
		*f = append(*f, s)
	}
	return nil
}

// next returns the first such time after another; the zero time means never.
func (c *calendar) next(after time.Time) time.Time {
	after = after.In(c.zone)
	year, month, day := after.Date()
	const leap = 8 * 366 // days between two 29ths of February
	for i := range 7 * leap {
		date := time.Date(year, month, day+i, 0, 0, 0, 0, c.zone)
		if !c.year.fits(date.Year()) || !c.month.fits(int(date.Month())) || !c.day.fits(date.Day()) ||
			!c.weekdays.fits((int(date.Weekday())+6)%7) {
			continue
		}
		if at := c.onDay(date, after); !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

// onDay returns the first such time on a day that is after another time.
func (c *calendar) onDay(date, after time.Time) time.Time {
	for second := range 24 * 60 * 60 {
		h, m, s := second/3600, second/60%60, second%60
		if !c.hour.fits(h) || !c.minute.fits(m) || !c.second.fits(s) {
			continue
		}
		at := time.Date(date.Year(), date.Month(), date.Day(), h, m, s, 0, c.zone)
		if at.After(after) && at.Hour() == h { // the hour differs if a clock change skips it
			return at
		}
	}
	return time.Time{}
}
