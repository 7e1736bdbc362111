package operator

import "fmt"

// mend keeps what lies on the disk as the charm made it. It does not look at what files contain: a
// file that is missing or cannot be mended is written again by the handler that owns it.
func mend(v view, p *Plan) {
	if v.leaving() {
		return // what is left is taken away
	}
	var ours []Astray
	for _, a := range v.w.Astray {
		switch {
		case a.Note:
			p.say(because(pathForeign, a.Path, a.Problem, a.Remedy))
		case a.Remedy != "":
			p.say(because(pathClosed, a.Path, a.Problem, a.Remedy))
		default:
			ours = append(ours, a)
		}
	}
	if len(ours) == 0 {
		return
	}
	step := Mend{ours[0].Path + ", which " + ours[0].Problem}
	if more := len(ours) - 1; more > 0 {
		step.What += fmt.Sprintf(", and %d more", more)
	}
	if tried, err := v.tried(step); tried {
		p.say(because(pathAstray, ours[0].Path, ours[0].Problem, err.Error()))
		return
	}
	p.want(v, step)
}

// Unseen is the error that says why nothing is known of the machine; nil means that something is
// known.
func (w World) Unseen() error {
	if w.Mute == "" {
		return nil
	}
	return fmt.Errorf("%s", because(diskMute, w.Mute))
}

// unseen is the plan while the disk does not answer: nothing is done and nothing is published. A
// unit that leaves is held by its last hooks, which fail.
func unseen(v view) Plan {
	p := Plan{Reasons: []Reason{because(diskMute, v.w.Mute)}}
	p.Status = Status{levelOf(p.Reasons), line(p.Reasons, "")}
	if v.last() || v.Departing == v.m.Unit {
		p.Fail = v.w.Unseen()
	}
	return p
}
