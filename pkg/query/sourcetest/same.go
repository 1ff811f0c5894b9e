package sourcetest

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Same tests that two Sources hold the same history: sidecars, records, bodies.
func Same(t *testing.T, a, b query.Source) {
	t.Helper()
	ids := sidecars(t, a)
	if other := sidecars(t, b); !slices.Equal(ids, other) {
		t.Fatalf("sidecars %v and %v", ids, other)
	}
	for _, id := range ids {
		x, y := all(t, a, id, 0), all(t, b, id, 0)
		if len(x) != len(y) {
			t.Fatalf("%s: %d and %d records", id.Name(), len(x), len(y))
		}
		for i := range x {
			if d := cmp.Diff(x[i], y[i], cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("%s, record %d:\n%s", id.Name(), x[i].Seq, d)
			}
			sameBodies(t, a, b, x[i])
		}
	}
}

func sameBodies(t *testing.T, a, b query.Source, rec xds.Record) {
	t.Helper()
	if rec.Kind != xds.KindPush {
		return
	}
	for _, e := range rec.Push.Resources {
		x, okA, errA := a.Body(e.Digest)
		y, okB, errB := b.Body(e.Digest)
		if okA != okB || errA != nil || errB != nil || !bytes.Equal(x, y) {
			t.Fatalf("body %s of %s: %d bytes, %v; %d bytes, %v; %v", e.Digest, e.Name, len(x), errA, len(y), errB, okA == okB)
		}
	}
}

// sameRecord compares what a record says; empty and absent lists are equal.
func sameRecord(a, b xds.Record) bool { return cmp.Equal(a, b, cmpopts.EquateEmpty()) }
