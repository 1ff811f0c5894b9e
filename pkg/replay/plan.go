package replay

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Plan is a range of one sidecar's history, ready to be served.
type Plan struct {
	Sidecar xds.Sidecar
	Node    *corev3.Node // what the sidecar told about itself, nil when not known
	Start   uint64       // the push whose state the Base is, 0 = before the first one
	Base    World
	Steps   []*Step
	Opened  []xds.Open // the streams on which the sidecar spoke, up to the end of the range
}

// Step is one recorded push.
type Step struct {
	Push     *xds.Push
	Type     string // canonical
	Time     time.Time
	Answer   *xds.Answer   // the recorded one, nil where there is none
	Latency  time.Duration // from the push to Answer
	Earlier  []uint64      // pushes whose answers were recorded right before this one
	After    World         // what can be served once this push was answered
	Settled  bool          // the last push of a group
	Snapshot *state.Snapshot
	Events   []xds.Event // those that began with it
}

// Number is the push's.
func (s *Step) Number() uint64 { return s.Push.Number }

// Rejected reports whether the recorded sidecar refused the push.
func (s *Step) Rejected() bool { return s.Answer != nil && s.Answer.NACK() }

// holds reports whether the push carries or removes a resource.
func (s *Step) holds(name string) bool {
	for _, e := range s.Push.Resources {
		if e.Name == name {
			return true
		}
	}
	return false
}

// World is what a control plane that repeats the recording can serve at a moment.
type World struct {
	offered, accepted *state.Snapshot
	rejected          map[string]bool // types of which something offered was refused
}

func worldOf(v state.View) World {
	w := World{offered: v.Offered, accepted: v.Accepted, rejected: map[string]bool{}}
	for _, r := range v.Rejected {
		w.rejected[xds.Canonical(r.Type)] = true
	}
	return w
}

// Snapshot is what holds for a type: what was offered, and where part of that was
// refused, what was accepted, so that nobody is greeted with what is known to fail.
func (w World) snapshot(typ string) *state.Snapshot {
	if w.rejected[typ] {
		return w.accepted
	}
	return w.offered
}

// Len is how many resources of a type there are.
func (w World) Len(typ string) int { return w.snapshot(typ).Len(typ) }

// Lookup finds one resource.
func (w World) Lookup(typ, name string) (xds.Digest, bool) { return w.snapshot(typ).Lookup(typ, name) }

// Types lists the types of which there is a resource.
func (w World) Types() []string { return w.offered.Types() }

// Load reads a range. The error may be a *query.NoRevisionError, which says from
// where the history can be replayed.
func Load(ctx context.Context, r *query.Reader, id xds.Sidecar, g query.Range) (*Plan, error) {
	points, err := r.AtMany(id, []query.Revision{g.From, g.To})
	if len(points) == 0 {
		return nil, err
	}
	for _, p := range points {
		if p.Err != nil {
			return nil, p.Err
		}
	}
	from, to := points[0].Point, points[1].Point
	recs, start, err := history(r.Source(), id, from.Push)
	if err != nil {
		return nil, err
	}
	p := &Plan{Sidecar: id, Node: r.Node(to.View.Node), Start: from.Push}
	p.outline(recs, from.Push, to.Push)
	p.fold(start, recs)
	return p, p.judge(ctx, r)
}

// history is the newest base at or before a push, where there is one, and all
// records after it.
func history(src query.Source, id xds.Sidecar, push uint64) (recs []xds.Record, base *xds.Record, err error) {
	from := uint64(0)
	for at := uint64(math.MaxUint64); ; {
		b, ok, err := src.Base(id, at)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the base of %s: %w", id.Name(), err)
		}
		if !ok {
			break
		}
		if b.Base.Push <= push {
			base, from = &b, b.Seq+1
			break
		}
		at = b.Seq - 1
	}
	for rec, err := range src.Records(id, from) {
		if err != nil {
			return nil, nil, fmt.Errorf("reading the history of %s: %w", id.Name(), err)
		}
		recs = append(recs, rec)
	}
	return recs, base, nil
}

// outline makes the steps, in the order of the records, with their answers.
func (p *Plan) outline(recs []xds.Record, from, to uint64) {
	steps := map[uint64]*Step{}
	var answered []uint64
	for _, rec := range recs {
		switch rec.Kind {
		case xds.KindOpen:
			p.Opened = append(p.Opened, *rec.Open)
		case xds.KindPush:
			if n := rec.Push.Number; n <= from || n > to || xds.Debug(rec.Push.Type) {
				continue
			}
			s := &Step{Push: rec.Push, Type: xds.Canonical(rec.Push.Type), Time: rec.Time, Earlier: answered}
			steps[s.Number()], answered = s, nil
			p.Steps = append(p.Steps, s)
		case xds.KindAnswer:
			s := steps[rec.Answer.Push]
			if s == nil || s.Answer != nil {
				continue
			}
			s.Answer, s.Latency = rec.Answer, rec.Time.Sub(s.Time)
			answered = append(answered, s.Number())
		}
	}
}

// fold finds what could be served before the first step and after each.
func (p *Plan) fold(base *xds.Record, recs []xds.Record) {
	f := state.New(nil)
	if base != nil {
		f.Apply(*base)
	}
	steps := map[uint64]*Step{}
	for _, s := range p.Steps {
		steps[s.Number()] = s
	}
	take := func() (World, *state.Snapshot) {
		v, _ := f.View(p.Sidecar)
		return worldOf(v), v.Active
	}
	p.Base, _ = take()
	var last *Step
	for _, rec := range state.Reorder(recs) {
		f.Apply(rec)
		switch {
		case rec.Kind == xds.KindPush && rec.Push.Number <= p.Start, last == nil && rec.Kind == xds.KindAnswer:
			p.Base, _ = take()
		case rec.Kind == xds.KindPush && steps[rec.Push.Number] != nil:
			last = steps[rec.Push.Number]
			last.After, last.Snapshot = take()
		case rec.Kind == xds.KindAnswer && last != nil && rec.Answer.Push == last.Number():
			last.After, last.Snapshot = take()
		}
	}
}

// judge marks where groups of pushes have settled, and what they did.
func (p *Plan) judge(ctx context.Context, r *query.Reader) error {
	steps := map[string]*Step{}
	for _, s := range p.Steps {
		steps["#"+strconv.FormatUint(s.Number(), 10)] = s
	}
	for e, err := range r.Walk(ctx, query.WalkOptions{Sidecars: []xds.Sidecar{p.Sidecar}}) {
		if err != nil {
			return fmt.Errorf("judging the history of %s: %w", p.Sidecar.Name(), err)
		}
		if s := steps["#"+strconv.FormatUint(e.Last, 10)]; s != nil && len(e.Pushes) > 0 {
			s.Settled = true
		}
		for _, ev := range e.Events {
			if s := steps[ev.Push]; s != nil {
				s.Events = append(s.Events, ev)
			}
		}
	}
	return nil
}

// Delta reports whether the sidecar spoke the incremental variant.
func (p *Plan) Delta() bool {
	for _, o := range p.Opened {
		if i := strings.LastIndexByte(o.Method, '/'); i >= 0 {
			return strings.HasPrefix(o.Method[i+1:], "Delta")
		}
	}
	return true
}

// Aggregated reports whether all types came by one stream.
func (p *Plan) Aggregated() bool {
	for _, o := range p.Opened {
		if !strings.Contains(o.Method, "AggregatedDiscoveryService") {
			return false
		}
	}
	return true
}
