package configdump

import (
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Joiner makes dumps of the same sidecars, taken one after the other, moments of one
// history: each after the first is a client that connects again, claims to hold what
// it held, and is sent what differs. Types that a dump does not show stay as they
// were. A dump that is not newer than the moment before is put a second after it:
// nothing in it tells when a resource went.
type Joiner struct {
	known   func(xds.Sidecar) (*state.Snapshot, time.Time)
	held    map[xds.Sidecar]*state.Snapshot
	at      map[xds.Sidecar]time.Time
	pushes  map[xds.Sidecar]uint64
	open    map[xds.Sidecar]uint64 // the stream of the last dump
	streams uint64
}

// NewJoiner starts behind what is known of a sidecar; a nil Snapshot is nothing.
func NewJoiner(known func(xds.Sidecar) (*state.Snapshot, time.Time)) *Joiner {
	return &Joiner{known: known, held: map[xds.Sidecar]*state.Snapshot{}, at: map[xds.Sidecar]time.Time{}, pushes: map[xds.Sidecar]uint64{}, open: map[xds.Sidecar]uint64{}}
}

// leave ends the stream of the dump before, as the client connects again.
func (j *Joiner) leave(f *follower) {
	if n := j.open[f.d.Sidecar]; n != 0 && len(f.d.Records) > 0 {
		f.out = append(f.out, Left(f.d.Sidecar, n, f.d.Records[0].Time.Add(f.late)))
	}
}

// Left is the record that ends a stream because a later dump follows.
func Left(id xds.Sidecar, stream uint64, t time.Time) xds.Record {
	return xds.Record{Kind: xds.KindClose, Time: t, Stream: stream, Sidecar: id, Close: &xds.Close{By: "client", Message: "the next config_dump follows"}}
}

// Next gives the records of the next dump. The dump itself stays as it is.
func (j *Joiner) Next(d *Dump) []xds.Record {
	id := d.Sidecar
	if _, ok := j.held[id]; !ok {
		j.held[id], j.at[id] = j.known(id)
	}
	j.streams++
	f := &follower{d: d, held: j.held[id], pushes: j.pushes[id], stream: j.streams, renumbered: map[uint64]uint64{}, seen: map[string]bool{}}
	if f.held.Types() != nil {
		f.late = d.lateness(j.at[id])
	}
	j.leave(f)
	for _, r := range d.Records {
		f.record(r)
	}
	j.open[id], j.held[id], j.pushes[id] = j.streams, d.holds(f.held), f.pushes
	if n := len(f.out); n > 0 {
		j.at[id] = f.out[n-1].Time
	}
	return f.out
}

// holds is what the sidecar held when the dump was taken.
func (d *Dump) holds(before *state.Snapshot) *state.Snapshot {
	fold := state.New(nil)
	for _, r := range d.Records {
		fold.Apply(r)
	}
	v, _ := fold.View(d.Sidecar)
	now := v.Accepted
	for _, typ := range before.Types() {
		for name, dg := range before.All(typ) {
			if !d.Shown[typ] && now.Len(typ) == 0 {
				now = now.With(typ, name, dg)
			}
		}
	}
	return now
}

// follower rewrites the records of one dump.
type follower struct {
	d          *Dump
	held       *state.Snapshot
	late       time.Duration
	stream     uint64
	pushes     uint64
	renumbered map[uint64]uint64 // pushes that are left
	seen       map[string]bool   // types that had a push
	out        []xds.Record
}

// record takes one over; what it points to is copied before it is changed.
func (f *follower) record(r xds.Record) {
	r.Time, r.Stream = r.Time.Add(f.late), f.stream
	switch r.Kind {
	case xds.KindRequest:
		req := *r.Request
		req.Initial = claimed(f.held, req.Type)
		r.Request = &req
	case xds.KindPush:
		p := *r.Push
		p.Resources = slices.Clone(p.Resources)
		first := !f.seen[p.Type]
		f.seen[p.Type] = true
		if f.held.Types() != nil && !f.d.differs(f.held, &p, first) {
			return
		}
		f.pushes++
		f.renumbered[p.Number] = f.pushes
		p.Number, r.Push = f.pushes, &p
	case xds.KindAnswer:
		n, left := f.renumbered[r.Answer.Push]
		if !left {
			return
		}
		a := *r.Answer
		a.Push, r.Answer = n, &a
	}
	f.out = append(f.out, r)
}

func (d *Dump) lateness(at time.Time) time.Duration {
	if len(d.Records) == 0 || d.Records[0].Time.After(at) {
		return 0
	}
	return at.Add(time.Second).Sub(d.Records[0].Time)
}

// claimed is initial_resource_versions: the versions themselves are not known.
func claimed(held *state.Snapshot, typ string) map[string]string {
	var out map[string]string
	for name := range held.All(typ) {
		if out == nil {
			out = map[string]string{}
		}
		out[name] = ""
	}
	return out
}

// differs leaves in a push what is not held as it is; the first one of its type also
// takes away what is not in it any more. False: nothing is left of it.
func (d *Dump) differs(held *state.Snapshot, p *xds.Push, first bool) bool {
	there := map[string]bool{}
	for _, e := range p.Resources {
		there[e.Name] = true
	}
	p.Resources = slices.DeleteFunc(p.Resources, func(e xds.Entry) bool {
		old, ok := held.Lookup(p.Type, e.Name)
		return ok && (old == e.Digest || e.State != xds.EntryBody)
	})
	p.Size = 0
	for _, e := range p.Resources {
		p.Size += e.Size
	}
	if first && d.Shown[p.Type] {
		for name := range held.All(p.Type) {
			if !there[name] {
				p.Removed = append(p.Removed, name)
			}
		}
	}
	return len(p.Resources)+len(p.Removed) > 0 || first && carriers[p.Type]
}

// carriers are the types that carry every version of a control plane. Their pushes
// stay, empty or not: that all of them have come is how the change is known to be
// whole.
var carriers = map[string]bool{xds.ClusterType: true, xds.ListenerType: true, xds.RouteType: true}
