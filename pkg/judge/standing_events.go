package judge

import "github.com/xdsproxy/xdsproxy/pkg/xds"

// standingEvents tells standing captures, one per owner and cluster.
func (in Input) standingEvents(fs []Fact) []xds.Event {
	var out []xds.Event
	seen := map[string]int{}
	for _, f := range fs {
		owner := ask(in.New, f.Shift.After)
		after := SideOf(f.Shift.After)
		key := sideKey(after) + "\x00" + ownerKey(owner)
		if i, ok := seen[key]; ok {
			out[i].Cells = append(out[i].Cells, f.Shift.Cells...)
			continue
		}
		seen[key] = len(out)
		out = append(out, in.standingEvent(f, owner, after, key))
	}
	return out
}

func (in Input) standingEvent(f Fact, owner *xds.Owner, after xds.Side, key string) xds.Event {
	e := in.event(xds.EvStanding, f.Push)
	e.Severity, e.Owner, e.After = xds.Info, owner, &after
	e.Cells, e.Ports, e.Witness = f.Shift.Cells, portsOf(f.Shift.Cells).String(), f.Shift.Witness
	in.stamp(&e, key, e.Ports)
	e.Summary = summary(e, *f.Shift)
	e.Remedies = in.remedies(e, *f.Shift, wide)
	return e
}
