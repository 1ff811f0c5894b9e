package query

import (
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// What the versions say stood at a push is what the sidecar was offered there: from
// a file, and from a store.
func TestVersionsAgreeWithAt(t *testing.T) {
	for _, name := range []string{"01-seed-mysql-delta", "04-default-chain-flip", "07-nack", "08-reconnect", "16-connection-age"} {
		src := recording(t, name)
		ids, err := src.Sidecars()
		if err != nil {
			t.Fatal(err)
		}
		r := New(Config{Source: src})
		versions, err := r.Versions(ids[0])
		if err != nil {
			t.Fatal(err)
		}
		head, err := r.At(ids[0], Head)
		if err != nil {
			t.Fatal(err)
		}
		for push := uint64(1); push <= head.Push; push++ {
			standing(t, r, ids[0], name, versions, push)
		}
	}
}

func standing(t *testing.T, r *Reader, id xds.Sidecar, name string, versions []Version, push uint64) {
	t.Helper()
	p, err := r.At(id, AtPush(push))
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, typ := range p.View.Offered.Types() {
		want += p.View.Offered.Len(typ)
	}
	got := 0
	for _, v := range versions {
		if !v.Stands(push) {
			continue
		}
		got++
		if _, ok := p.View.Offered.Lookup(v.Type, v.Name); !ok {
			t.Errorf("%s #%d: %s %s stands, but was not offered", name, push, xds.ShortType(v.Type), v.Name)
		}
	}
	if got != want {
		t.Errorf("%s #%d: %d versions stand, %d resources were offered", name, push, got, want)
	}
}
