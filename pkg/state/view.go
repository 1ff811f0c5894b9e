package state

import (
	"cmp"
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// View is what is known of one sidecar after a record. It is a value: later
// records do not change it.
type View struct {
	ID   xds.Sidecar
	Node xds.Digest // of its node message, zero if it never sent one

	Offered  *Snapshot // what was pushed
	Accepted *Snapshot // what it acknowledged
	Active   *Snapshot // what takes traffic: accepted, and warmed

	LastPush    uint64    // number of the newest push
	LastSeen    time.Time // of its newest record
	Connected   bool      // a stream of it is open
	Incarnation int       // counted from where reading began

	Uncertain  map[string]string // type -> why what is known of it may be wrong
	Streams    []Stream          // open ones, by number
	Rejected   []Rejection       // what it refuses, by type and name
	Subscribed []string          // types it asked for in this life, canonical, sorted
	Pending    []PendingPush     // unanswered pushes, by number
	Warming    []Warming         // accepted listeners and clusters that take no traffic yet
	// Mismatches counts names on which the fold and what the client claimed on a
	// new stream disagreed (the counter fold_mismatch).
	Mismatches uint64
}

// Stream is an open stream of a sidecar.
type Stream struct {
	ID    uint64
	Open  xds.Open
	Types []string // asked for, canonical, sorted
}

// PendingPush is a push that was not answered yet.
type PendingPush struct {
	Number uint64
	Stream uint64
	Type   string // canonical
	Since  time.Time
}

// Warming is a resource that waits for others before it takes traffic.
type Warming struct {
	Type, Name string
	Waits      []Ref
}

// View returns what is known of a sidecar; false if there is no record of it.
func (f *Fold) View(id xds.Sidecar) (View, bool) {
	s := f.sides[id]
	if s == nil {
		return View{ID: id}, false
	}
	v := View{ID: id, Node: s.node, Offered: s.offered, Accepted: s.accepted, Active: s.active, LastPush: s.lastPush, LastSeen: s.lastSeen,
		Connected: s.connected(), Incarnation: s.incarnation, Uncertain: map[string]string{}, Subscribed: sortedKeys(s.sent),
		Pending: s.unansweredPushes(), Mismatches: s.mismatches}
	for typ, d := range s.doubts {
		v.Uncertain[typ] = d.reason
	}
	v.Streams, v.Rejected, v.Warming = s.openStreams(), s.rejections(), s.warmingList()
	return v, true
}

func (s *side) connected() bool {
	for _, st := range s.streams {
		if !st.closed {
			return true
		}
	}
	return false
}

func (s *side) openStreams() []Stream {
	var out []Stream
	for _, st := range s.streams {
		if !st.closed {
			out = append(out, Stream{ID: st.id, Open: st.open, Types: sortedKeys(st.types)})
		}
	}
	slices.SortFunc(out, func(a, b Stream) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (s *side) rejections() []Rejection {
	out := make([]Rejection, 0, len(s.rejected))
	for _, r := range s.rejected {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Rejection) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name)) })
	return out
}

func (s *side) unansweredPushes() []PendingPush {
	out := make([]PendingPush, 0, len(s.pending))
	for _, p := range s.pending {
		out = append(out, PendingPush{Number: p.number, Stream: p.stream, Type: p.typ, Since: p.time})
	}
	slices.SortFunc(out, func(a, b PendingPush) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

func (s *side) warmingList() []Warming {
	out := make([]Warming, 0, len(s.warming))
	for ref, waits := range s.warming {
		out = append(out, Warming{Type: ref.Type, Name: ref.Name, Waits: waits})
	}
	slices.SortFunc(out, func(a, b Warming) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name)) })
	return out
}
