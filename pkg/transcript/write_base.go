package transcript

import (
	"encoding/json"
	"fmt"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// base writes a base line, bodies included.
func (w *writer) base(r xds.Record) error {
	f := fields{Push: r.Base.Push, Sidecar: r.Sidecar.Name(),
		ID: &identity{Node: r.Sidecar.Node, Cluster: r.Sidecar.Cluster, Mesh: r.Sidecar.Mesh}}
	if !r.Base.Node.IsZero() {
		b, _, err := w.src.Body(r.Base.Node)
		if err != nil {
			return fmt.Errorf("reading the node of %s: %w", r.Sidecar.Name(), err)
		}
		f.Node = b
	}
	for _, s := range r.Base.Streams {
		f.Streams = append(f.Streams, baseStream{Stream: s.Stream, Open: s.Open})
	}
	for _, p := range r.Base.Pending {
		f.Pending = append(f.Pending, basePush{Push: p.Number, Stream: p.Stream, Type: p.Type, Nonce: p.Nonce,
			Names: p.Names, Removed: p.Removed, Full: p.Full})
	}
	types, err := w.baseTypes(r.Base, &f)
	if err != nil {
		return fmt.Errorf("exporting the base of %s: %w", r.Sidecar.Name(), err)
	}
	return w.line(r, f, nil, false, types)
}

// baseTypes writes the object of types in the order of the base.
func (w *writer) baseTypes(b *xds.Base, f *fields) ([]byte, error) {
	out := []byte{'{'}
	for i, t := range b.Types {
		if i > 0 {
			out = append(out, ',')
		}
		if t.Uncertain != "" {
			if f.Uncertain == nil {
				f.Uncertain = map[string]string{}
			}
			f.Uncertain[t.Type] = t.Uncertain
		}
		entries := make([]baseEntry, 0, len(t.Resources))
		for _, e := range t.Resources {
			x := baseEntry{Name: e.Name, State: heldName(e.Held), Active: e.Held&xds.HeldActive != 0, Stream: e.Stream}
			if !e.Digest.IsZero() {
				raw, _, err := w.src.Body(e.Digest)
				if err != nil {
					return nil, fmt.Errorf("reading body %s: %w", e.Digest, err)
				}
				x.Raw = raw
			}
			entries = append(entries, x)
		}
		key, _ := json.Marshal(t.Type) // of a string: cannot fail
		list, err := json.Marshal(entries)
		if err != nil {
			return nil, fmt.Errorf("writing what is held of %s: %w", t.Type, err)
		}
		out = append(append(append(out, key...), ':'), list...)
	}
	return append(out, '}'), nil
}
