package faults

import (
	"slices"
	"strings"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// history is what a store holds of its one sidecar and of nobody.
type history struct {
	records []xds.Record
}

// held reads a store.
func held(t *testing.T, dir string) (h history) {
	t.Helper()
	r, err := store.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ids, err := r.Sidecars()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	for _, id := range ids {
		for rec, err := range r.Records(id, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if rec.Kind == xds.KindBase || seen[rec.Seq] {
				continue
			}
			seen[rec.Seq] = true
			h.records = append(h.records, rec)
		}
	}
	slices.SortFunc(h.records, func(a, b xds.Record) int { return int(a.Seq) - int(b.Seq) })
	return h
}

// kind are the records of one kind.
func (h history) kind(k xds.Kind) (out []xds.Record) {
	for _, r := range h.records {
		if r.Kind == k {
			out = append(out, r)
		}
	}
	return out
}

// pushes are the pushes.
func (h history) pushes() (out []*xds.Push) {
	for _, r := range h.kind(xds.KindPush) {
		out = append(out, r.Push)
	}
	return out
}

// hasPush reports whether the push with this nonce is held.
func (h history) hasPush(nonce string) bool {
	return slices.ContainsFunc(h.pushes(), func(p *xds.Push) bool { return p.Nonce == nonce })
}

// gap reports whether a gap has a text in its reason.
func (h history) gap(text string) bool {
	return slices.ContainsFunc(h.records, func(r xds.Record) bool {
		return r.Kind == xds.KindGap && strings.Contains(r.Gap.Reason, text)
	})
}

// verified fails unless `xdsproxy store verify` finds nothing wrong.
func verified(t *testing.T, dir string) {
	t.Helper()
	if out, errs, code := try(t, "store", "verify", "--store", dir); code != 0 {
		t.Errorf("store verify: exit code %d\n%s%s", code, out, errs)
	}
}
