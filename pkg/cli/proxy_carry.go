package cli

import (
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// carry takes over from the history before, whose store is gone, what the live
// sidecars hold and whose streams are open. offset is what this store adds to the
// numbers of streams.
func (h *history) carry(offset uint64) error {
	old := h.cfg.last
	h.cfg.last = nil // its memory is needed no more
	if old == nil {
		return nil
	}
	for _, id := range old.fold.Sidecars() {
		v, _ := old.fold.View(id)
		b, ok := old.fold.Base(id)
		if !ok || !v.Connected {
			continue
		}
		s := xds.Sighting{Kind: xds.SawBase, Time: h.cfg.now(), Base: &xds.BaseLine{Sidecar: id, Base: moved(*b.Base, old.offset, offset)}}
		if err := h.rec.Sight(s); err != nil {
			return err
		}
	}
	return nil
}

// moved is b with the numbers of streams as the observer gives them, where the
// recorder looks for them, and as this store writes them, where it does not.
func moved(b xds.Base, from, to uint64) xds.Base {
	b.Streams = slices.DeleteFunc(slices.Clone(b.Streams), func(s xds.BaseStream) bool { return s.Stream <= from })
	for i := range b.Streams {
		b.Streams[i].Stream -= from
	}
	for t := range b.Types {
		b.Types[t].Resources = slices.Clone(b.Types[t].Resources)
		for i, r := range b.Types[t].Resources {
			b.Types[t].Resources[i].Stream = 0
			if r.Stream > from {
				b.Types[t].Resources[i].Stream = r.Stream - from + to
			}
		}
	}
	if to > 0 { // a pending push has one number for both
		b.Pending = nil
	}
	for i, p := range b.Pending {
		b.Pending[i].Stream = p.Stream - min(from, p.Stream)
	}
	return b
}
