package query

import (
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Since tells for each resource of a type that a sidecar holds at a point which
// push brought it as it is there. Resources that are older than the history that
// can be read are left out.
func (r *Reader) Since(p Point, w Which, typ string) (map[string]uint64, error) {
	typ = xds.Canonical(typ)
	want := p.Snapshot(w)
	out := map[string]uint64{}
	for rec, err := range r.src.Records(p.Sidecar, 0) {
		if err != nil {
			return out, err
		}
		if rec.Kind != xds.KindPush || xds.Canonical(rec.Push.Type) != typ {
			continue
		}
		if rec.Push.Number > p.Push {
			break
		}
		noteSince(out, want, typ, rec.Push)
	}
	return out, nil
}

// noteSince keeps the first push of the last uninterrupted run in which a name
// had the digest it has in want.
func noteSince(out map[string]uint64, want *state.Snapshot, typ string, push *xds.Push) {
	for _, e := range push.Resources {
		d, ok := want.Lookup(typ, e.Name)
		if !ok || e.State != xds.EntryBody {
			continue
		}
		if e.Digest != d {
			delete(out, e.Name)
		} else if _, ok := out[e.Name]; !ok {
			out[e.Name] = push.Number
		}
	}
	for _, n := range push.Removed {
		delete(out, n)
	}
}
