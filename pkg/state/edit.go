package state

import "github.com/xdsproxy/xdsproxy/pkg/xds"

// edit is what one record does through one stream: every snapshot it touches,
// changed together and put back by done.
type edit struct {
	s  *side
	st *stream

	offered, accepted, active                      *Editor // joined
	ownOffered, ownAccepted, versions, shaky, gone *Editor // of the stream
}

func (s *side) edit(st *stream) *edit {
	return &edit{s: s, st: st,
		offered: s.offered.Edit(), accepted: s.accepted.Edit(), active: s.active.Edit(),
		ownOffered: st.offered.Edit(), ownAccepted: st.accepted.Edit(),
		versions: st.versions.Edit(), shaky: st.shaky.Edit(), gone: st.gone.Edit()}
}

func (e *edit) done() {
	e.warm()
	e.s.offered, e.s.accepted, e.s.active = e.offered.Done(), e.accepted.Done(), e.active.Done()
	e.st.offered, e.st.accepted = e.ownOffered.Done(), e.ownAccepted.Done()
	e.st.versions, e.st.shaky, e.st.gone = e.versions.Done(), e.shaky.Done(), e.gone.Done()
}

// newest returns the version of a name that the newest other stream holds.
func (e *edit) newest(of func(*stream) *Snapshot, typ, name string) (d xds.Digest, id uint64, ok bool) {
	if len(e.s.streams) == 1 {
		return d, 0, false
	}
	for _, o := range e.s.streams {
		if o == e.st || ok && o.id < id {
			continue
		}
		if x, there := of(o).Lookup(typ, name); there {
			d, id, ok = x, o.id, true
		}
	}
	return d, id, ok
}

func ofOffered(st *stream) *Snapshot  { return st.offered }
func ofAccepted(st *stream) *Snapshot { return st.accepted }

// offer notes that the stream pushed a resource.
func (e *edit) offer(typ, name string, d xds.Digest) {
	if was, ok := e.ownOffered.Lookup(typ, name); ok && was == d {
		return // most of a push is what was there before
	}
	e.ownOffered.Set(typ, name, d)
	if x, id, ok := e.newest(ofOffered, typ, name); ok && id > e.st.id {
		d = x
	}
	e.offered.Set(typ, name, d)
}

// unoffer notes that the stream no longer pushes a resource.
func (e *edit) unoffer(typ, name string) {
	e.ownOffered.Delete(typ, name)
	if d, _, ok := e.newest(ofOffered, typ, name); ok {
		e.offered.Set(typ, name, d)
		return
	}
	e.offered.Delete(typ, name)
}

// accept notes that the client holds a resource because of the stream.
func (e *edit) accept(typ, name string, d xds.Digest) {
	if was, ok := e.ownAccepted.Lookup(typ, name); ok && was == d {
		return
	}
	e.ownAccepted.Set(typ, name, d)
	if x, id, ok := e.newest(ofAccepted, typ, name); ok && id > e.st.id {
		d = x
	}
	e.hold(typ, name, d)
}

// drop notes that the client no longer holds a resource because of the stream.
func (e *edit) drop(typ, name string) {
	e.ownAccepted.Delete(typ, name)
	e.versions.Delete(typ, name)
	e.shaky.Delete(typ, name)
	e.release(typ, name)
}

// release takes the stream's share in a resource off the joined snapshots.
func (e *edit) release(typ, name string) {
	if d, _, ok := e.newest(ofAccepted, typ, name); ok {
		e.hold(typ, name, d)
		return
	}
	e.accepted.Delete(typ, name)
	e.active.Delete(typ, name)
	delete(e.s.warming, Ref{typ, name})
	delete(e.s.replaced, Ref{typ, name})
}

// hold makes d the accepted version, and the active one unless it has to warm.
func (e *edit) hold(typ, name string, d xds.Digest) {
	if e.s.deps == nil {
		e.replace(typ, name, d)
	}
	e.accepted.Set(typ, name, d)
	if waits := e.missing(typ, d); len(waits) > 0 {
		if now, ok := e.active.Lookup(typ, name); !ok || now != d {
			e.s.warming[Ref{typ, name}] = waits
			return
		}
	}
	delete(e.s.warming, Ref{typ, name})
	e.active.Set(typ, name, d)
}

// missing lists what a listener or cluster would have to wait for. Secrets count
// only where the sidecar asks for secrets on the streams seen here: workload
// certificates come over a socket of their own.
func (e *edit) missing(typ string, d xds.Digest) []Ref {
	if typ != xds.ListenerType && typ != xds.ClusterType || d == xds.Bodyless || e.s.deps == nil {
		return nil
	}
	return e.absent(e.s.deps(typ, d))
}

func (e *edit) absent(refs []Ref) []Ref {
	var out []Ref
	for _, r := range refs {
		if r.Type == xds.SecretType && e.s.sent[xds.SecretType] == "" {
			continue
		}
		if _, ok := e.accepted.Lookup(r.Type, r.Name); !ok {
			out = append(out, r)
		}
	}
	return out
}

// warm makes active what no longer waits.
func (e *edit) warm() {
	for ref, waits := range e.s.warming {
		waits = e.absent(waits)
		if len(waits) > 0 {
			e.s.warming[ref] = waits
			continue
		}
		delete(e.s.warming, ref)
		if d, ok := e.accepted.Lookup(ref.Type, ref.Name); ok {
			e.active.Set(ref.Type, ref.Name, d)
		}
	}
}
