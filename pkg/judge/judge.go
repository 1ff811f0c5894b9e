package judge

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Judge says what a group of pushes did, as events: worst first, in an order
// that depends on nothing but the input.
func Judge(in Input) []xds.Event {
	evs := in.shiftEvents()
	evs = append(evs, in.drainEvents()...)
	evs = append(evs, in.factEvents()...)
	evs = append(evs, in.flaps(evs)...)
	slices.SortStableFunc(evs, func(a, b xds.Event) int {
		return cmp.Or(cmp.Compare(b.Severity.Rank(), a.Severity.Rank()), strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Ports, b.Ports))
	})
	return evs
}

// event is what all events of a group have in common.
func (in Input) event(kind xds.EventKind, at PushRef) xds.Event {
	if at.Number == 0 {
		at = in.First
	}
	return xds.Event{
		APIVersion: xds.APIVersion, Revision: 1, Kind: kind, Settled: in.Settled, Sidecar: in.name(),
		Push: push(at.Number), Pushes: in.pushes(at), Time: at.Time,
		Cells: []xds.Cell{}, Remedies: []xds.Remedy{}, Uncertain: slices.Clone(in.Uncertain),
	}
}

func (in Input) name() string {
	if in.Display != "" {
		return in.Display
	}
	return in.Sidecar.Name()
}

// pushes is the group's range; a fact between groups has its own push only.
func (in Input) pushes(at PushRef) []string {
	if in.First.Number == 0 {
		return []string{push(at.Number), push(at.Number)}
	}
	return []string{push(in.First.Number), push(in.Last.Number)}
}

func push(n uint64) string { return fmt.Sprintf("#%d", n) }

// groupTime is the time of the group's end.
func (in Input) groupTime() time.Time {
	if !in.Last.Time.IsZero() {
		return in.Last.Time
	}
	t := in.First.Time
	for _, f := range in.Facts {
		if f.Push.Time.After(t) {
			t = f.Push.Time
		}
	}
	return t
}

// stamp gives an event its identity: what makes it this event for this sidecar
// (id), and for all sidecars that the same object hits (group).
func (in Input) stamp(e *xds.Event, what ...string) {
	same := strings.Join(append([]string{string(e.Kind)}, what...), "\x00")
	e.Group = hash16(same)
	s := in.Sidecar
	e.ID = hash16(strings.Join([]string{s.Node, s.Cluster, s.Mesh, e.Pushes[0], same}, "\x00"))
}

func hash16(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}
