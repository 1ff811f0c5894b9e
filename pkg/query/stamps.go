package query

import (
	"fmt"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Stamps says with which version, and when, resources were last pushed.
type Stamps struct {
	Resources map[state.Ref]Stamp
	Types     map[string]string // version of the last push, by canonical type URL
}

// Stamp is one resource's: its own version where the push gave it one (Delta), else
// that of the push.
type Stamp struct {
	Version string
	Time    time.Time
}

// Stamps reads the history of a sidecar up to a point.
func (r *Reader) Stamps(p Point) (Stamps, error) {
	out := Stamps{Resources: map[state.Ref]Stamp{}, Types: map[string]string{}}
	for rec, err := range r.src.Records(p.Sidecar, 0) {
		if err != nil {
			return out, fmt.Errorf("reading the versions that %s was pushed: %w", p.Sidecar.Name(), err)
		}
		if rec.Kind != xds.KindPush {
			continue
		}
		if rec.Push.Number > p.Push {
			break
		}
		out.push(rec)
	}
	return out, nil
}

func (s *Stamps) push(rec xds.Record) {
	typ := xds.Canonical(rec.Push.Type)
	s.Types[typ] = rec.Push.Version
	for _, e := range rec.Push.Resources {
		v := e.Version
		if v == "" {
			v = rec.Push.Version
		}
		s.Resources[state.Ref{Type: typ, Name: e.Name}] = Stamp{Version: v, Time: rec.Time}
	}
}
