package operator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Disk is what the data lies on. The zero value is not known.
type Disk struct {
	FileSystem string // by its kernel's type: "ext4"; "" is not known
	Free       int64  // bytes that the service's user may still take
	Inodes     int64  // that are free
	Counted    bool   // the file system has a fixed number of inodes

	// The rest is from the last measurement.
	At         int64         // Unix seconds; 0 is never
	Writes     int           // that were measured
	P50        time.Duration // of a write as etcd's log makes it, until the disk confirms it
	P99, Max   time.Duration
	Rotational bool
	Cache      string // "write back", "write through"; "" is not known
	Together   bool   // snapshots are on the same file system
}

// Limits past which a disk is reported (etcd's documentation on disks, and the alerts in use for
// large fleets).
const (
	slowDisk    = 10 * time.Millisecond // for the slowest of 100 writes
	failingDisk = 50 * time.Millisecond // elections are lost at the default time-outs
	// A disk that confirms a write this fast has not kept it.
	noFlush      = 20 * time.Microsecond
	enoughInodes = 1000
	spareRoom    = 1 << 30 // bytes, beyond what the database may grow to
)

// File systems that are not on a disk of this machine, that are layered, or that copy data when it
// is overwritten.
func isNetworkFS(name string) bool {
	return slices.Contains([]string{"nfs", "cifs", "smb2", "ceph"}, name)
}
func isMemoryFS(name string) bool { return name == "tmpfs" || name == "ramfs" }
func isLayeredFS(name string) bool {
	return slices.Contains([]string{"overlay", "fuse", "9p"}, name)
}
func isCopyingFS(name string) bool { return name == "zfs" || name == "btrfs" }

// CheckDisk measures what the data lies on, for two seconds at most.
type CheckDisk struct{}

func (CheckDisk) step()          {}
func (CheckDisk) String() string { return "measure the disk" }

// disk has the disk measured once, before there is data: a member that serves would have to share
// the disk with the measurement.
func disk(v view, p *Plan) {
	w := v.w
	if v.role() != RoleMember || v.leaving() || w.Installed != w.Carried ||
		w.Data.State != NoData || w.Service.Running ||
		w.Disk.At != 0 || did[CheckDisk](v) {
		return
	}
	p.want(v, CheckDisk{})
}

// refusedDisk says why no data may be created where it would lie. Data that is there already is not
// refused.
func (v view) refusedDisk() Reason {
	if v.role() != RoleMember || v.w.Data.State != NoData || v.w.Service.Running ||
		!isNetworkFS(v.w.Disk.FileSystem) {
		return Reason{}
	}
	return because(diskRefused, v.m.Unit, v.w.Disk.FileSystem)
}

// flaws are what is wrong with the disk for a database of that size and quota.
func (d Disk) flaws(unit string, db, quota int64) []Reason {
	var out []Reason
	switch fs := d.FileSystem; {
	case isNetworkFS(fs):
		out = append(out, because(diskRemote, unit, fs))
	case isMemoryFS(fs):
		out = append(out, because(diskMemory, unit, fs))
	case isLayeredFS(fs):
		out = append(out, because(diskLayered, unit, fs))
	case isCopyingFS(fs):
		out = append(out, because(diskCopying, unit, fs))
	}
	if d.At != 0 && !isMemoryFS(d.FileSystem) {
		switch {
		case d.P50 < noFlush:
			out = append(out, because(diskFlushless, unit))
		case d.P99 > failingDisk:
			out = append(out, because(diskFailing, unit, roundTrip(d.P99)))
		case d.P99 > slowDisk:
			out = append(out, because(diskSlow, unit, roundTrip(d.P99)))
		}
		if d.Rotational {
			out = append(out, because(diskRotates, unit))
		}
	}
	if d.FileSystem != "" {
		if needed := d.needed(db, quota); d.Free < needed {
			out = append(out, because(diskRoom, unit, size(d.Free), size(needed)))
		}
		if d.Counted && d.Inodes < enoughInodes {
			out = append(out, because(diskInodes, unit, strconv.FormatInt(d.Inodes, 10)))
		}
	}
	return out
}

// needed is the number of bytes that should be free: the database grows to its quota, and a
// defragmentation or a copy for a learner takes as much again.
func (d Disk) needed(db, quota int64) int64 { return max(2*db, quota-db+spareRoom) }

// disk says what is wrong with this unit's disk.
func (x *examiner) disk() {
	if x.role() != RoleMember {
		return
	}
	x.r.disk = x.w.Disk
	for _, why := range x.flaws() {
		x.say(why)
	}
}

// flaws are what is wrong with this unit's disk. If the disk is refused, that is the only one.
func (v view) flaws() []Reason {
	if !v.refusedDisk().none() {
		return nil
	}
	own, _ := v.self()
	return v.w.Disk.flaws(v.m.Unit, own.DBSize, v.m.Config.QuotaBytes)
}

// line is the disk in words; "" is not known.
func (d Disk) line() string {
	if d.FileSystem == "" {
		return ""
	}
	text := d.FileSystem + ", " + size(d.Free) + " free"
	if d.At == 0 {
		return text + "; not measured: action disk-check"
	}
	return fmt.Sprintf("%s; 99 of 100 writes are synced within %s", text, roundTrip(d.P99))
}

// diskJSON is the disk for programs.
type diskJSON struct {
	FileSystem string  `json:"file-system"`
	Free       int64   `json:"free"`
	Measured   string  `json:"measured,omitempty"`
	P50        float64 `json:"p50-seconds,omitempty"`
	P99        float64 `json:"p99-seconds,omitempty"`
	Max        float64 `json:"max-seconds,omitempty"`
	Rotational bool    `json:"rotational"`
	Cache      string  `json:"write-cache,omitempty"`
}

func (d Disk) forPrograms() *diskJSON {
	if d.FileSystem == "" {
		return nil
	}
	out := &diskJSON{
		FileSystem: d.FileSystem, Free: d.Free,
		P50: d.P50.Seconds(), P99: d.P99.Seconds(), Max: d.Max.Seconds(),
		Rotational: d.Rotational, Cache: d.Cache,
	}
	if d.At != 0 {
		out.Measured = moment(d.At)
	}
	return out
}

// values are what is known of the disk, for action-set.
func (d Disk) values() values {
	out := values{}
	if d.FileSystem == "" {
		return out
	}
	out["file-system"], out["free"] = d.FileSystem, strconv.FormatInt(d.Free, 10)
	if d.Counted {
		out["inodes-free"] = strconv.FormatInt(d.Inodes, 10)
	}
	if d.At != 0 {
		out["measured"], out["writes"] = moment(d.At), strconv.Itoa(d.Writes)
		out["p50"], out["p99"], out["max"] = d.P50.String(), d.P99.String(), d.Max.String()
		out["rotational"], out["snapshots-beside"] = yesNo(d.Rotational), yesNo(d.Together)
		out.set("write-cache", d.Cache)
	}
	return out
}

// CheckDiskNow measures the disk, and reports what is wrong with it. The member may serve
// meanwhile, and then shares it.
func CheckDiskNow(params map[string]any, m Model, w World) ([]Step, Result, error) {
	if err := onlyParams(params); err != nil {
		return nil, Result{}, err
	}
	v := newView(Event{}, m, w)
	if v.role() == RoleProxy {
		return nil, Result{Failed: because(isProxy, m.Unit).String()}, nil
	}
	finish := func(after World) Result { return checkedDisk(m, after, w.Service.Running) }
	return []Step{CheckDisk{}}, Result{Finish: finish}, nil
}

// checkedDisk is the answer once the disk was measured.
func checkedDisk(m Model, w World, serving bool) Result {
	v, d := newView(Event{}, m, w), w.Disk
	flaws := v.flaws()
	out := Result{Values: d.values()}
	out.Values["verdict"] = "good"
	var text strings.Builder
	own, _ := v.self()
	for _, line := range []named{
		{"lies on", dash(d.FileSystem)},
		{"writes", fmt.Sprintf(
			"%d, each synced: half within %s, 99 of 100 within %s, all within %s",
			d.Writes, roundTrip(d.P50), roundTrip(d.P99), roundTrip(d.Max))},
		{"free", fmt.Sprintf("%s, of which %s should stay free",
			size(d.Free), size(d.needed(own.DBSize, m.Config.QuotaBytes)))},
		{"disk", map[bool]string{
			true:  "rotational",
			false: "not rotational, or it does not say so",
		}[d.Rotational] + "; cache: " + dash(singleLine(d.Cache))},
	} {
		text.WriteString(wrap(line.name, line.text))
	}
	if d.Together {
		text.WriteString(wrap("kept",
			"snapshots are on the same file system as the data: copy them elsewhere"))
	}
	if serving {
		text.WriteString(wrap("note",
			"the member served meanwhile, so it shared the disk with the measurement"))
	}
	if len(flaws) > 0 {
		out.Values["verdict"], out.Values["flaws"] = "doubtful", texts(flaws)
	}
	if why := v.refusedDisk(); !why.none() {
		out.Values["verdict"], out.Failed = "unfit", why.String()
	}
	verdict := wrap("verdict", out.Values["verdict"].(string))
	for _, why := range flaws {
		verdict += wrap("because", why.String())
	}
	out.Text = verdict + text.String()
	return out
}
