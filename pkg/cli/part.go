package cli

import (
	"fmt"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// part is a history that begins at a record in the middle: where no base stands
// right before it, one is made of what came before.
type part struct {
	query.Source
	read *query.Reader
	from uint64 // 0: the whole history
}

// Base gives the base right before the part, whatever bases the history has.
func (p *part) Base(id xds.Sidecar, at uint64) (xds.Record, bool, error) {
	if p.from <= 1 || at < p.from-1 {
		return p.Source.Base(id, at)
	}
	f := state.New(p.read.Engine().Deps)
	start, ok, err := p.Source.Base(id, p.from-1)
	if err != nil {
		return xds.Record{}, false, err
	}
	from := uint64(0)
	if ok {
		f.Apply(start)
		from = start.Seq + 1
	}
	for rec, err := range p.Records(id, from) {
		if err != nil {
			return xds.Record{}, false, fmt.Errorf("reading what stands before the part: %w", err)
		}
		if rec.Seq >= p.from {
			break
		}
		f.Apply(rec)
	}
	base, ok := f.Base(id)
	base.Seq = p.from - 1
	return base, ok, nil
}
