package query

import (
	"errors"
	"iter"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func recording(t testing.TB, name string) *transcript.Source {
	t.Helper()
	f, err := os.Open("../../test/recordings/" + name + "/session.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	src, err := transcript.Read(f, name, transcript.Config{Key: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func only1(t testing.TB, src Source) xds.Sidecar {
	t.Helper()
	ids, err := src.Sidecars()
	if err != nil {
		t.Fatal(err)
	}
	id, err := FindSidecar(ids, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func mustParse(t testing.TB, s string) Revision {
	t.Helper()
	r, err := ParseRevision(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAtRevisions: push 6 of the recording brings the listener 0.0.0.0_3306, and
// push 11 takes it away.
func TestAtRevisions(t *testing.T) {
	src := recording(t, "01-seed-mysql-delta")
	r, id := New(Config{Source: src}), only1(t, src)
	for _, c := range []struct {
		rev      string
		push     uint64
		listener bool
	}{
		{"0", 0, false}, {"5", 5, false}, {"#6", 6, true}, {"10", 10, true}, {"11", 11, false}, {"HEAD", 16, false},
		{"HEAD~6", 10, true}, {"11~1", 10, true},
		{"@{2026-11-22T19:28:07.305Z}", 5, false},
		{"@{2026-11-22T19:28:10Z}", 8, true},
		{"@{2026-11-22T23:00:00Z}", 16, false},
	} {
		p, err := r.At(id, mustParse(t, c.rev))
		if err != nil {
			t.Errorf("%s: %v", c.rev, err)
			continue
		}
		_, ok := p.View.Active.Lookup(xds.ListenerType, "0.0.0.0_3306")
		if p.Push != c.push || ok != c.listener {
			t.Errorf("%s: push #%d, listener %v; want #%d, %v", c.rev, p.Push, ok, c.push, c.listener)
		}
		again, err := r.At(id, mustParse(t, p.Revision.String()))
		if err != nil || differ(again.View, p.View) {
			t.Errorf("%s printed as %s is another point: %v", c.rev, p.Revision, err)
		}
	}
}

func differ(a, b state.View) bool {
	for range state.Differences(a.Active, b.Active) {
		return true
	}
	for range state.Differences(a.Offered, b.Offered) {
		return true
	}
	return false
}

// TestAtHoldsAnswersWithTheirPush: "#5" has the answer that came later; the time
// just after the push has not.
func TestAtHoldsAnswersWithTheirPush(t *testing.T) {
	src := recording(t, "01-seed-mysql-delta")
	r, id := New(Config{Source: src}), only1(t, src)
	const name = "outbound|3306||mysql.demo"
	byPush, err := r.At(id, AtPush(5))
	if err != nil {
		t.Fatal(err)
	}
	var sent time.Time
	for rec := range src.Records(id, 0) {
		if rec.Kind == xds.KindPush && rec.Push.Number == 5 {
			sent = rec.Time
		}
	}
	byTime, err := r.At(id, AtTime(sent))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		s    *state.Snapshot
		want bool
	}{
		{"offered by push", byPush.View.Offered, true}, {"accepted by push", byPush.View.Accepted, true},
		{"offered by time", byTime.View.Offered, true}, {"accepted by time", byTime.View.Accepted, false},
	} {
		if _, ok := c.s.Lookup(xds.ClusterType, name); ok != c.want {
			t.Errorf("%s: cluster there: %v", c.what, ok)
		}
	}
}

func TestAtOutOfReach(t *testing.T) {
	src := recording(t, "01-seed-mysql-delta")
	r, id := New(Config{Source: src}), only1(t, src)
	for _, rev := range []string{"17", "HEAD~17", "3~4", "@{2026-11-22T19:00:00Z}", "@{10h}"} {
		_, err := r.At(id, mustParse(t, rev))
		var no *NoRevisionError
		if !errors.As(err, &no) || no.Last != 16 {
			t.Errorf("%s: error %v", rev, err)
		}
	}
}

// TestManyRevisionsAreThoseOfOne: one pass for all gives what a pass for each does.
func TestManyRevisionsAreThoseOfOne(t *testing.T) {
	for _, name := range []string{"07-nack", "08-reconnect", "02-seed-mysql-sotw"} {
		src := recording(t, name)
		r, id := New(Config{Source: src}), only1(t, src)
		end, err := r.End(id)
		if err != nil {
			t.Fatal(err)
		}
		var revs []Revision
		for i := range uint64(12) {
			revs = append(revs, AtPush(i), AtTime(end.Add(-time.Duration(i)*4*time.Second)))
		}
		revs = append(revs, Head, AtPush(99999))
		slices.Reverse(revs)
		many, err := r.AtMany(id, revs)
		if err != nil {
			t.Fatal(err)
		}
		for i, rev := range revs {
			one, err := r.At(id, rev)
			if (err == nil) != (many[i].Err == nil) || one.Push != many[i].Push || one.Revision != many[i].Revision || differ(one.View, many[i].View) {
				t.Errorf("%s at %s: push #%d (%v), among many #%d (%v)", name, rev, one.Push, err, many[i].Push, many[i].Err)
			}
		}
	}
}

// TestAtAfterAClockStepBack: "by then" leaves out what is later by the clock, also
// when it was recorded earlier.
func TestAtAfterAClockStepBack(t *testing.T) {
	src := recording(t, "01-seed-mysql-delta")
	id := only1(t, src)
	back := new(record.Memory)
	var recs []xds.Record
	for rec := range src.Records(id, 0) {
		if rec.Kind == xds.KindPush && rec.Push.Number == 5 {
			rec.Time = rec.Time.Add(time.Hour)
		}
		recs = append(recs, rec)
	}
	if err := back.Append(recs, nil); err != nil {
		t.Fatal(err)
	}
	r := New(Config{Source: back})
	many, err := r.AtMany(id, []Revision{mustParse(t, "@{2026-11-22T19:28:10Z}"), Head})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := many[0].View.Offered.Lookup(xds.ClusterType, "outbound|3306||mysql.demo"); ok || many[0].Push != 8 || many[1].Push != 16 {
		t.Errorf("cluster there: %v, pushes #%d, #%d", ok, many[0].Push, many[1].Push)
	}
}

// broken ends with an error after n records.
type broken struct {
	Source
	n int
}

var errDisk = errors.New("the disk is gone")

func (b broken) Records(id xds.Sidecar, from uint64) iter.Seq2[xds.Record, error] {
	return func(yield func(xds.Record, error) bool) {
		n := 0
		for rec, err := range b.Source.Records(id, from) {
			if n++; n > b.n {
				yield(xds.Record{}, errDisk)
				return
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

func TestAtUsesWhatStandsBeforeABreak(t *testing.T) {
	src := recording(t, "01-seed-mysql-delta")
	id := only1(t, src)
	as, err := New(Config{Source: broken{src, 20}}).AtMany(id, []Revision{Head})
	if !errors.Is(err, errDisk) || len(as) != 1 || as[0].Push == 0 || as[0].Push >= 16 {
		t.Errorf("%+v, %v", as, err)
	}
}

func TestRelativeTimesCountFromTheEndOrTheClock(t *testing.T) {
	src := recording(t, "01-seed-mysql-delta")
	id := only1(t, src)
	end, err := New(Config{Source: src}).End(id)
	if err != nil {
		t.Fatal(err)
	}
	file, err := New(Config{Source: src}).At(id, mustParse(t, "@{20s}"))
	if err != nil || !file.Revision.Time.Equal(end.Add(-20*time.Second)) {
		t.Errorf("of a file: %s, %v", file.Revision, err)
	}
	live, err := New(Config{Source: src, Now: func() time.Time { return end.Add(time.Minute) }}).At(id, mustParse(t, "@{70s}"))
	if err != nil || !live.Revision.Time.Equal(end.Add(-10*time.Second)) {
		t.Errorf("of a store: %s, %v", live.Revision, err)
	}
}
