package query

import (
	"context"
	"iter"

	"github.com/xdsproxy/xdsproxy/pkg/timeline"
)

// Lines is the log: one Line per push, in the order in which the groups they
// belong to were settled, events of a group at the push that caused them. Events
// without a push stand at the last push before them.
func (r *Reader) Lines(ctx context.Context, o WalkOptions) iter.Seq2[*Line, error] {
	return func(yield func(*Line, error) bool) {
		g := newLogger(r.differ)
		o.OnRecord = g.record
		send := func(lines []*Line) bool {
			for _, l := range lines {
				if !yield(l, nil) {
					return false
				}
			}
			return true
		}
		for e, err := range r.Walk(ctx, o) {
			if err != nil {
				if g.rest(send) {
					yield(nil, err)
				}
				return
			}
			if !send(g.entry(e)) {
				return
			}
		}
		g.rest(send)
	}
}

// entry puts events to their lines and hands out what the entry settles.
func (g *logger) entry(e timeline.Entry) []*Line {
	var late []*Line
	for _, ev := range e.Events {
		l := g.line(e.ID, PushNumber(ev.Push))
		if l == nil {
			l = &Line{Sidecar: e.ID, Time: ev.Time}
			late = append(late, l)
		}
		l.Events = append(l.Events, ev)
	}
	if len(e.Pushes) == 0 {
		return late
	}
	return append(g.take(e.ID, e.Last), late...)
}

// rest hands out what no entry settled.
func (g *logger) rest(send func([]*Line) bool) bool {
	for id := range g.lines {
		if !send(g.take(id, ^uint64(0))) {
			return false
		}
	}
	return true
}

// PushNumber reads "#41", as events name pushes; 0 for anything else.
func PushNumber(s string) uint64 {
	r, err := ParseRevision(s)
	if err != nil || !r.numeric {
		return 0
	}
	return r.Push
}

// IsPush reports whether the line is a push; else it carries events only that became
// known after the line of their push was handed out.
func (l *Line) IsPush() bool { return l.Push.Number > 0 }
