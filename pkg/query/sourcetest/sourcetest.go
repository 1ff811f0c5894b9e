// Package sourcetest is the conformance suite of query.Source: what every history
// promises, whatever it is kept in.
//
// Check holds one Source against the promises; Same holds two against each other.
package sourcetest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Check tests a Source that nobody is writing to.
func Check(t *testing.T, src query.Source) {
	t.Helper()
	ids := sidecars(t, src)
	t.Run("sidecars", func(t *testing.T) { checkSidecars(t, ids) })
	for _, id := range ids {
		t.Run("records of "+id.Name(), func(t *testing.T) { checkRecords(t, src, id) })
		t.Run("bases of "+id.Name(), func(t *testing.T) { checkBases(t, src, id) })
	}
	t.Run("numbers", func(t *testing.T) { checkNumbers(t, src, ids) })
	t.Run("bodies", func(t *testing.T) { checkBodies(t, src, ids) })
}

func sidecars(t *testing.T, src query.Source) []xds.Sidecar {
	t.Helper()
	ids, err := src.Sidecars()
	if err != nil {
		t.Fatalf("listing the sidecars: %v", err)
	}
	return ids
}

func checkSidecars(t *testing.T, ids []xds.Sidecar) {
	seen := map[xds.Sidecar]bool{}
	for i, id := range ids {
		if seen[id] {
			t.Errorf("%v stands twice", id)
		}
		seen[id] = true
		if id.IsZero() && i != len(ids)-1 {
			t.Error("streams of nobody do not come last")
		}
	}
}

// all reads the records of a sidecar.
func all(t *testing.T, src query.Source, id xds.Sidecar, from uint64) []xds.Record {
	t.Helper()
	var out []xds.Record
	for rec, err := range src.Records(id, from) {
		if err != nil {
			t.Fatalf("reading %s from %d: %v", id.Name(), from, err)
		}
		out = append(out, rec)
	}
	return out
}

func checkRecords(t *testing.T, src query.Source, id xds.Sidecar) {
	recs := all(t, src, id, 0)
	if len(recs) == 0 {
		t.Fatal("a sidecar without records")
	}
	for i, rec := range recs {
		if i > 0 && rec.Seq <= recs[i-1].Seq {
			t.Fatalf("record %d comes after %d", rec.Seq, recs[i-1].Seq)
		}
		checkRecord(t, id, rec)
	}
	checkPushes(t, recs)
	for _, from := range []int{0, len(recs) / 2, len(recs) - 1} {
		if got := all(t, src, id, recs[from].Seq); !slices.EqualFunc(got, recs[from:], sameRecord) {
			t.Errorf("from %d: %d records, want %d equal ones", recs[from].Seq, len(got), len(recs)-from)
		}
	}
	if got := all(t, src, id, recs[len(recs)-1].Seq+1); len(got) != 0 {
		t.Errorf("%d records behind the last one", len(got))
	}
	for _, err := range src.Records(id, 0) { // a reader may have enough
		if err != nil {
			t.Errorf("the first record: %v", err)
		}
		break
	}
}

func checkRecord(t *testing.T, id xds.Sidecar, rec xds.Record) {
	everyone := rec.Kind == xds.KindGap && rec.Sidecar.IsZero()
	if rec.Sidecar != id && !everyone {
		t.Errorf("record %d is of %v", rec.Seq, rec.Sidecar)
	}
	set := map[xds.Kind]bool{
		xds.KindOpen: rec.Open != nil, xds.KindRequest: rec.Request != nil, xds.KindPush: rec.Push != nil,
		xds.KindAnswer: rec.Answer != nil, xds.KindClose: rec.Close != nil, xds.KindGap: rec.Gap != nil,
	}
	for kind, is := range set {
		if is != (kind == rec.Kind) {
			t.Errorf("record %d of kind %s: %s is set: %v", rec.Seq, rec.Kind, kind, is)
		}
	}
	if _, ok := set[rec.Kind]; !ok {
		t.Errorf("record %d has kind %s", rec.Seq, rec.Kind)
	}
}

// checkPushes: numbers rise, and an answer comes behind its push.
func checkPushes(t *testing.T, recs []xds.Record) {
	var last uint64
	for _, rec := range recs {
		switch rec.Kind {
		case xds.KindPush:
			if rec.Push.Number <= last {
				t.Errorf("push #%d comes after #%d", rec.Push.Number, last)
			}
			last = rec.Push.Number
		case xds.KindAnswer:
			if rec.Answer.Push > last {
				t.Errorf("record %d answers push #%d, which has not come", rec.Seq, rec.Answer.Push)
			}
		}
	}
}

// checkNumbers: the records of all sidecars together are numbered without a hole.
func checkNumbers(t *testing.T, src query.Source, ids []xds.Sidecar) {
	var seqs []uint64
	for _, id := range ids {
		for _, rec := range all(t, src, id, 0) {
			if !rec.Sidecar.IsZero() || id.IsZero() || rec.Kind == xds.KindGap {
				seqs = append(seqs, rec.Seq)
			}
		}
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	for i := 1; i < len(seqs); i++ {
		if seqs[i] != seqs[i-1]+1 {
			t.Errorf("no record between %d and %d", seqs[i-1], seqs[i])
		}
	}
}

// checkBases: a base is the newest one at or before a number, and says what the
// records before it say.
func checkBases(t *testing.T, src query.Source, id xds.Sidecar) {
	at := uint64(math.MaxUint64)
	for {
		base, ok, err := src.Base(id, at)
		if err != nil {
			t.Fatalf("base at %d: %v", at, err)
		}
		if !ok {
			return
		}
		if base.Seq > at || base.Kind != xds.KindBase || base.Base == nil || base.Sidecar != id {
			t.Fatalf("base at %d is record %d, %s of %v", at, base.Seq, base.Kind, base.Sidecar)
		}
		again, ok, err := src.Base(id, base.Seq)
		if err != nil || !ok || again.Seq != base.Seq {
			t.Errorf("base at %d: record %d, %v, %v", base.Seq, again.Seq, ok, err)
		}
		checkBase(t, src, id, base)
		if base.Seq == 0 {
			return
		}
		at = base.Seq - 1
	}
}

func checkBase(t *testing.T, src query.Source, id xds.Sidecar, base xds.Record) {
	if first := all(t, src, id, 0)[0]; base.Seq == 0 || first.Seq > base.Seq || first.Seq > 1 && !first.Sidecar.IsZero() && first.Kind != xds.KindOpen {
		return // what it says cannot be told from the records
	}
	whole, short := state.New(nil), state.New(nil)
	for _, rec := range all(t, src, id, 0) {
		if rec.Seq <= base.Seq {
			whole.Apply(rec)
		}
	}
	short.Apply(base)
	a, _ := whole.View(id)
	b, _ := short.View(id)
	for d := range state.Differences(a.Accepted, b.Accepted) {
		t.Errorf("base %d differs in what was accepted: %+v", base.Seq, d)
	}
	for d := range state.Differences(a.Offered, b.Offered) {
		t.Errorf("base %d differs in what was offered: %+v", base.Seq, d)
	}
}

// checkBodies: what a push names with a body is there, under its own digest.
func checkBodies(t *testing.T, src query.Source, ids []xds.Sidecar) {
	for _, id := range ids {
		for _, rec := range all(t, src, id, 0) {
			if rec.Kind != xds.KindPush {
				continue
			}
			for _, e := range rec.Push.Resources {
				if e.State == xds.EntryBody {
					checkBody(t, src, fmt.Sprintf("push #%d, %s", rec.Push.Number, e.Name), e.Digest)
				}
			}
		}
	}
	if b, ok, err := src.Body(xds.DigestOf([]byte("nobody has this"))); ok || err != nil {
		t.Errorf("a body that is not there: %d bytes, %v, %v", len(b), ok, err)
	}
}

func checkBody(t *testing.T, src query.Source, where string, d xds.Digest) {
	t.Helper()
	b, ok, err := src.Body(d)
	switch {
	case err != nil:
		t.Errorf("%s: %v", where, err)
	case !ok:
		t.Errorf("%s: body %s is not there", where, d)
	case xds.DigestOf(b) != d:
		t.Errorf("%s: body %s has digest %s", where, d, xds.DigestOf(b))
	}
}
