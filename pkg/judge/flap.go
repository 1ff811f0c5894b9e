package judge

import (
	"fmt"
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// flap tells that e was the n-th move between the same two sides.
func (in Input) flap(e xds.Event, n int) xds.Event {
	f := in.event(xds.EvFlap, PushRef{})
	f.Push, f.Time = e.Push, e.Time
	f.Severity, f.Count = xds.Medium, uint64(n)
	f.Ports, f.Witness, f.Cells, f.More = e.Ports, e.Witness, e.Cells, e.More
	f.Before, f.After, f.Owner, f.Open = e.Before, e.After, e.Owner, e.Open
	f.Summary = fmt.Sprintf("%s: %s went to and fro between %s and %s %d times in %s",
		portPhrase(e.Ports), destPhrase(e.Cells), clause(*e.Before), clause(*e.After), n, FlapWindow)
	in.stamp(&f, swingKey(e))
	f.Remedies = in.remedies(f, xds.Shift{}, declared)
	return f
}

// swings reports whether an event moves traffic between two sides.
func swings(e xds.Event) bool {
	return e.Before != nil && e.After != nil && e.Kind != xds.EvUnsure && e.Kind != xds.EvStanding
}

// swingKey is the same for a move and its way back.
func swingKey(e xds.Event) string {
	a, b := sideKey(*e.Before), sideKey(*e.After)
	if b < a {
		a, b = b, a
	}
	return e.Ports + " " + a + " " + b
}

// flaps are the flap events that evs give with what is remembered: traffic that
// went to and fro between the same two sides.
func (in Input) flaps(evs []xds.Event) []xds.Event {
	var out []xds.Event
	for _, e := range evs {
		if !swings(e) || in.toldFlap(swingKey(e), e.Time) {
			continue
		}
		n := in.moves(swingKey(e), sideKey(*e.After), e.Time)
		if n < FlapMoves {
			continue
		}
		out = append(out, in.flap(e, n))
	}
	return out
}

// moves counts how often the traffic of a key changed its direction, this time
// included. Several moves the same way (of parts of it) are one.
func (in Input) moves(key, to string, now time.Time) int {
	n, last := 0, ""
	for _, s := range append(slices.Clip(in.Memory.seen), swing{key, to, now}) {
		if s.key == key && now.Sub(s.at) <= FlapWindow && s.to != last {
			n, last = n+1, s.to
		}
	}
	return n
}

func (in Input) toldFlap(key string, now time.Time) bool {
	return slices.ContainsFunc(in.Memory.told, func(t flapTold) bool { return t.key == key && now.Sub(t.at) < FlapWindow })
}
