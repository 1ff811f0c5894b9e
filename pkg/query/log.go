package query

import (
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/diff"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Line is one push as the log tells it.
type Line struct {
	Sidecar xds.Sidecar
	Push    xds.Push
	Time    time.Time
	Took    time.Duration
	// Changes is what the push changed of what the sidecar was offered; Added,
	// Changed and Removed count them.
	Changes                 []xds.Change
	Added, Changed, Removed int
	// Answer is the first answer, nil while there is none; Repeat is how often the
	// same push was rejected again.
	Answer   *xds.Answer
	Answered time.Time
	Repeat   uint64
	// Events are those that began with this push.
	Events []xds.Event
}

// Latency is the time from the push to its answer.
func (l *Line) Latency() time.Duration { return max(0, l.Answered.Sub(l.Time)) }

// logger turns records into Lines; events are put to them when they are known.
type logger struct {
	differ *diff.Differ
	fold   *state.Fold
	lines  map[xds.Sidecar][]*Line // not handed out yet, by number
}

func newLogger(differ *diff.Differ) *logger {
	return &logger{differ: differ, fold: state.New(nil), lines: map[xds.Sidecar][]*Line{}}
}

func (g *logger) offered(id xds.Sidecar) *state.Snapshot {
	v, _ := g.fold.View(id)
	return v.Offered
}

func (g *logger) record(rec xds.Record) {
	if rec.Kind != xds.KindPush {
		g.fold.Apply(rec)
		if rec.Kind == xds.KindAnswer {
			g.answer(rec)
		}
		return
	}
	before := g.offered(rec.Sidecar)
	g.fold.Apply(rec)
	l := &Line{Sidecar: rec.Sidecar, Push: *rec.Push, Time: rec.Time, Took: rec.Took}
	l.Changes = g.differ.Changes(before, g.offered(rec.Sidecar))
	for _, c := range l.Changes {
		switch c.Op {
		case "add":
			l.Added++
		case "remove":
			l.Removed++
		default:
			l.Changed++
		}
	}
	g.lines[rec.Sidecar] = append(g.lines[rec.Sidecar], l)
}

func (g *logger) answer(rec xds.Record) {
	l := g.line(rec.Sidecar, rec.Answer.Push)
	switch {
	case l == nil:
	case l.Answer == nil:
		l.Answer, l.Answered, l.Repeat = rec.Answer, rec.Time, rec.Answer.Repeat
	default:
		l.Repeat += max(1, rec.Answer.Repeat)
	}
}

func (g *logger) line(id xds.Sidecar, push uint64) *Line {
	lines := g.lines[id]
	i, ok := slices.BinarySearchFunc(lines, push, func(l *Line, n uint64) int {
		switch {
		case l.Push.Number < n:
			return -1
		case l.Push.Number > n:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return lines[i]
}

// take hands out the lines of a sidecar up to a push number.
func (g *logger) take(id xds.Sidecar, upTo uint64) []*Line {
	lines := g.lines[id]
	n := 0
	for n < len(lines) && lines[n].Push.Number <= upTo {
		n++
	}
	g.lines[id] = lines[n:]
	return lines[:n]
}
