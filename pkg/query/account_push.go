package query

import (
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/timeline"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Accountant makes Accounts of the records and entries of a walk: give it every
// record (WalkOptions.OnRecord) and every entry.
type Accountant struct {
	differ *diff.Differ
	wants  func(time.Time) bool
	fold   *state.Fold
	sides  map[xds.Sidecar]*accountSide
	order  []*accountSide
}

// NewAccountant counts what wants lets through by its time; nil: all.
func (r *Reader) NewAccountant(wants func(time.Time) bool) *Accountant {
	if wants == nil {
		wants = func(time.Time) bool { return true }
	}
	return &Accountant{differ: r.differ, wants: wants, fold: state.New(nil), sides: map[xds.Sidecar]*accountSide{}}
}

// accountSide is one sidecar's account, and what it takes to go on with it.
type accountSide struct {
	Account
	types   map[string]*TypeAccount
	streams map[uint64]map[string]bool // types that a stream has carried; nil: any
	pushes  []*countedPush             // by number: those that later records may be about
	left    time.Time                  // when its last stream ended; zero: it is there
}

// countedPush is a push that an entry or an answer may yet say something about.
type countedPush struct {
	number  uint64
	typ     *TypeAccount
	size    int
	counts  bool // by its time
	changed bool
	still   bool // counted under NoShift
}

// remembered is how many push numbers back an answer is expected to reach.
const remembered = 1024

// farewell is how long a sidecar has to be away before what it was offered is
// forgotten: pods come and go, and each holds a whole configuration.
const farewell = 24 * time.Hour

// Record counts one record.
func (k *Accountant) Record(rec xds.Record) {
	if rec.Sidecar.IsZero() {
		k.fold.Apply(rec)
		return
	}
	if k.sides[rec.Sidecar] == nil {
		k.forget(rec.Time)
	}
	s := k.side(rec.Sidecar)
	if rec.Kind == xds.KindPush {
		k.push(s, rec)
		return
	}
	k.fold.Apply(rec)
	switch rec.Kind {
	case xds.KindOpen:
		s.streams[rec.Stream], s.left = map[string]bool{}, time.Time{}
	case xds.KindClose:
		delete(s.streams, rec.Stream)
		if v, _ := k.fold.View(rec.Sidecar); !v.Connected {
			s.left = rec.Time
		}
	case xds.KindAnswer:
		s.answer(rec, k.wants(rec.Time))
	}
}

// forget drops what is held only to compare with, of sidecars that are gone for good;
// what was counted stays.
func (k *Accountant) forget(now time.Time) {
	for id, s := range k.sides {
		if !s.left.IsZero() && now.Sub(s.left) > farewell {
			k.fold.Forget(id)
			s.pushes, s.left = nil, time.Time{}
		}
	}
}

// Entry settles which pushes moved no traffic.
func (k *Accountant) Entry(e timeline.Entry) {
	if e.ID.IsZero() {
		return
	}
	s := k.side(e.ID)
	for _, ev := range e.Events {
		if ev.Kind == xds.EvFlap && k.wants(ev.Time) {
			s.Flaps = append(s.Flaps, ev)
		}
	}
	s.settle(e)
	s.pushes = slices.DeleteFunc(s.pushes, func(p *countedPush) bool { return p.number+remembered < e.First })
}

// Accounts are those of all sidecars that there were records of.
func (k *Accountant) Accounts() []*Account {
	out := make([]*Account, 0, len(k.order))
	for _, s := range k.order {
		for _, t := range s.Types {
			t.rank()
		}
		out = append(out, &s.Account)
	}
	return out
}

func (k *Accountant) side(id xds.Sidecar) *accountSide {
	s := k.sides[id]
	if s == nil {
		s = &accountSide{Account: Account{Sidecar: id}, types: map[string]*TypeAccount{}, streams: map[uint64]map[string]bool{}}
		k.sides[id] = s
		k.order = append(k.order, s)
	}
	return s
}

func (s *accountSide) typeOf(typ string) *TypeAccount {
	typ = xds.Canonical(typ)
	t := s.types[typ]
	if t == nil {
		t = &TypeAccount{Type: typ, fields: map[string]*fieldChurn{}, resources: map[string]*resourceChurn{}}
		s.types[typ] = t
		s.Types = append(s.Types, t)
	}
	return t
}

func (k *Accountant) push(s *accountSide, rec xds.Record) {
	first := s.firstOnStream(rec)
	v, _ := k.fold.View(rec.Sidecar)
	k.fold.Apply(rec)
	counts := k.wants(rec.Time)
	switch {
	case xds.Debug(rec.Push.Type):
		return
	case state.Heartbeat(rec.Push):
		if counts {
			s.typeOf(rec.Push.Type).Heartbeats++
		}
		return
	}
	p := &countedPush{number: rec.Push.Number, size: rec.Push.Size, counts: counts}
	if s.pushes = append(s.pushes, p); !counts {
		return
	}
	p.typ = s.typeOf(rec.Push.Type)
	if s.First.IsZero() {
		s.First = rec.Time
	}
	s.Last = rec.Time
	after, _ := k.fold.View(rec.Sidecar)
	p.changed = k.count(p.typ, rec.Push, v.Offered, after.Offered, first)
}

// firstOnStream reports whether a push is the first of its type on its stream. Of a
// stream whose beginning is not there nobody knows: then it is not.
func (s *accountSide) firstOnStream(rec xds.Record) bool {
	seen := s.streams[rec.Stream]
	typ := xds.Canonical(rec.Push.Type)
	if seen == nil || seen[typ] {
		return false
	}
	seen[typ] = true
	return true
}

// count compares what was offered before and after a push, and reports whether
// anything changed.
func (k *Accountant) count(t *TypeAccount, p *xds.Push, before, after *state.Snapshot, first bool) bool {
	t.Pushes++
	t.Bytes += p.Size
	r := k.differ.Compare(before, after)
	t.Reencoded += r.Reencoded
	known := slices.DeleteFunc(slices.Clone(r.Changes), notRecorded)
	for _, c := range known {
		t.change(c, before.Len(c.Type) == 0, k.differ)
	}
	switch {
	case len(known) > 0:
		t.IdleBytes += idle(p, r.Changes)
	case len(r.Changes) > 0 || hidden(p):
		t.Unknown++
	default:
		t.empty(p.Size)
		if first {
			t.Reconnect++
		}
	}
	return len(known) > 0
}

func (t *TypeAccount) empty(size int) {
	t.NoOp++
	t.NoOpBytes += size
	t.IdleBytes += size
}

// notRecorded reports whether nobody can tell what a change changed.
func notRecorded(c xds.Change) bool { return slices.Contains(c.Paths, diff.NotRecorded) }

// hidden reports whether a push held something that is not there to compare.
func hidden(p *xds.Push) bool {
	return p.Omitted != "" || slices.ContainsFunc(p.Resources, func(e xds.Entry) bool { return e.State == xds.EntryBodyless })
}

// idle is the size of the resources of a push that did not change.
func idle(p *xds.Push, changes []xds.Change) int {
	changed := map[string]bool{}
	for _, c := range changes {
		changed[c.Name] = true
	}
	n := 0
	for _, e := range p.Resources {
		if !changed[e.Name] && e.State != xds.EntryBodyless {
			n += e.Size
		}
	}
	return n
}

// answer counts rejections, and the pushes that were not recorded one by one.
func (s *accountSide) answer(rec xds.Record, counts bool) {
	p := s.find(rec.Answer.Push)
	if p == nil || p.typ == nil || !counts || !rec.Answer.NACK() {
		return
	}
	n := int(rec.Answer.Repeat)
	if n == 0 {
		p.typ.Rejected++
		return
	}
	p.typ.Pushes += n
	p.typ.Rejected += n
	p.typ.Repeated += n
	p.typ.Bytes += n * p.size
	p.typ.NoOp += n
	p.typ.NoOpBytes += n * p.size
	p.typ.IdleBytes += n * p.size
}

func (s *accountSide) find(number uint64) *countedPush {
	i := slices.IndexFunc(s.pushes, func(p *countedPush) bool { return p.number == number })
	if i < 0 {
		return nil
	}
	return s.pushes[i]
}

// settle looks at the shifts of a group. An entry without pushes is what a late
// answer did: it belongs to a push that was taken for one that moves nothing.
func (s *accountSide) settle(e timeline.Entry) {
	if len(e.Pushes) == 0 && len(e.Shifts) > 0 {
		if p := s.find(e.First); p != nil && p.still {
			p.still = false
			p.typ.NoShift--
		}
	}
	if e.Baseline || len(e.Shifts) > 0 {
		return
	}
	for _, n := range e.Pushes {
		if p := s.find(n); p != nil && p.counts && p.changed {
			p.still = true
			p.typ.NoShift++
		}
	}
}
