package transcript

import (
	"encoding/json"
	"fmt"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// identity is a sidecar in full; the name on display is not enough to know one.
type identity struct {
	Node    string `json:"node,omitempty"`
	Cluster string `json:"cluster,omitempty"`
	Mesh    string `json:"mesh,omitempty"`
}

type baseStream struct {
	Stream uint64 `json:"stream"`
	xds.Open
}

type basePush struct {
	Push    uint64   `json:"push"`
	Stream  uint64   `json:"stream"`
	Type    string   `json:"type"`
	Nonce   string   `json:"nonce,omitempty"`
	Names   []string `json:"names,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Full    bool     `json:"full,omitempty"`
}

type baseEntry struct {
	Name   string `json:"name"`
	Raw    []byte `json:"raw,omitempty"`
	State  string `json:"state,omitempty"` // both, offered, accepted; default both
	Active bool   `json:"active,omitempty"`
	Stream uint64 `json:"stream,omitempty"`
}

var held = map[string]xds.Held{"": xds.HeldOffered | xds.HeldAccepted, "both": xds.HeldOffered | xds.HeldAccepted,
	"offered": xds.HeldOffered, "accepted": xds.HeldAccepted, "none": 0}

func heldName(h xds.Held) string {
	switch h &^ xds.HeldActive {
	case xds.HeldOffered:
		return "offered"
	case xds.HeldAccepted:
		return "accepted"
	case 0:
		return "none"
	}
	return "both"
}

func (l *line) base() (*xds.BaseLine, error) {
	f := &l.small
	b := &xds.BaseLine{Sidecar: xds.Sidecar{Node: f.Sidecar}, Base: xds.Base{Push: f.Push}}
	if len(f.Node) > 0 {
		body := xds.NewBody(f.Node)
		b.Base.Node, b.Bodies = body.Digest, append(b.Bodies, body)
		b.Sidecar = record.Identity(f.Node)
	}
	if f.ID != nil {
		b.Sidecar = xds.Sidecar{Node: f.ID.Node, Cluster: f.ID.Cluster, Mesh: f.ID.Mesh}
	}
	for _, s := range f.Streams {
		b.Base.Streams = append(b.Base.Streams, xds.BaseStream{Stream: s.Stream, Open: s.Open})
	}
	for _, p := range f.Pending {
		b.Base.Pending = append(b.Base.Pending, xds.BasePush{Number: p.Push, Stream: p.Stream, Type: p.Type,
			Nonce: p.Nonce, Names: p.Names, Removed: p.Removed, Full: p.Full})
	}
	return b, l.baseTypes(b)
}

func (l *line) baseTypes(b *xds.BaseLine) error {
	if l.types == nil {
		return nil
	}
	ms, err := members(l.types)
	if err != nil {
		return fmt.Errorf("reading the types of a base: %w", err)
	}
	for _, m := range ms {
		var entries []baseEntry
		if err := json.Unmarshal(m.value, &entries); err != nil {
			return fmt.Errorf("reading what a base holds of %s: %w", m.key, err)
		}
		t := xds.BaseType{Type: m.key, Uncertain: l.small.Uncertain[m.key]}
		for _, e := range entries {
			h, ok := held[e.State]
			if !ok {
				return fmt.Errorf("state %q of %q is none of both, offered, accepted", e.State, e.Name)
			}
			if e.Active {
				h |= xds.HeldActive
			}
			entry := xds.BaseEntry{Name: e.Name, Held: h, Stream: e.Stream}
			if e.Raw != nil {
				body := xds.NewBody(e.Raw)
				entry.Digest, b.Bodies = body.Digest, append(b.Bodies, body)
			}
			t.Resources = append(t.Resources, entry)
		}
		b.Base.Types = append(b.Base.Types, t)
	}
	return nil
}
