package timeline_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/timeline"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const begun = `
0 open 1
0 req 1 CDS
0.01 push 1 CDS v1 a
0.02 ack 1
0.03 req 1 LDS
0.04 push 1 LDS v1 80
0.05 ack 2
`

// toldAtEnd gives the kinds of event of a file that ends with a record of another
// sidecar, and the same read live up to that record's time.
func toldAtEnd(t *testing.T, text string, end time.Duration) (file, live []xds.EventKind) {
	t.Helper()
	s := newStory()
	ticks := s.parse(t, begun+text)
	other := xds.Record{Kind: xds.KindOpen, Stream: 99, Sidecar: xds.Sidecar{Node: "other"}, Time: start.Add(end), Open: &xds.Open{}}
	var recs []xds.Record
	for _, k := range ticks {
		recs = append(recs, k.rec)
	}
	w := timeline.New(s.config())
	var es []timeline.Entry
	for _, r := range recs {
		es = append(es, w.Record(r)...)
	}
	es = append(append(es, w.Advance(start.Add(end))...), w.Finish()...)
	return kinds(walk(s.config(), append(recs, other))), kinds(es)
}

func kinds(es []timeline.Entry) (out []xds.EventKind) {
	for _, e := range es {
		for _, ev := range e.Events {
			out = append(out, ev.Kind)
		}
	}
	return out
}

// TestEndOfAFile: what was due when the file ends is told as it is live, and what
// would be due later is not.
func TestEndOfAFile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		end        time.Duration
		want       []xds.EventKind
	}{
		{"unanswered", "1 push 1 CDS v2 a=b", 31 * time.Second, []xds.EventKind{xds.EvUnanswered}},
		{"not yet unanswered", "1 push 1 CDS v2 a=b", 30 * time.Second, nil},
		{"detached", "1 close 1", 61 * time.Second, []xds.EventKind{xds.EvDetached}},
		{"not yet detached", "1 close 1", 60 * time.Second, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			file, live := toldAtEnd(t, c.text, c.end)
			if !slices.Equal(file, c.want) || !slices.Equal(live, c.want) {
				t.Errorf("file %v, live %v, want %v", file, live, c.want)
			}
		})
	}
}

// TestFinishAfterAdvance: at the time of the last record nothing is left that
// Advance would tell and Finish does not.
func TestFinishAfterAdvance(t *testing.T) {
	for _, name := range small(t) {
		src := history(t, name)
		cfg := real(src)
		w := timeline.New(cfg)
		recs := merged(t, src)
		for _, r := range recs {
			w.Record(r)
		}
		if es := w.Advance(recs[len(recs)-1].Time); len(es) > 0 {
			t.Errorf("%s: %s", name, strings.Join(strings.Fields(line(es[0])), " "))
		}
	}
}

// merged are the records of all sidecars of a recording.
func merged(t *testing.T, src *transcript.Source) []xds.Record {
	t.Helper()
	var recs []xds.Record
	for _, id := range sidecars(t, src) {
		recs = append(recs, recordsOf(t, src, id)...)
	}
	slices.SortStableFunc(recs, func(a, b xds.Record) int { return int(a.Seq) - int(b.Seq) })
	return recs
}
