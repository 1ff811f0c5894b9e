package record

import (
	"fmt"
	"strings"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// How much of a stream without a node is kept back. Beyond it the stream is
// written as nobody's.
const (
	parkedSightings = 64
	parkedBytes     = 1 << 20
)

// stream is one live stream.
type stream struct {
	id, number, conn uint64
	order            uint64 // of settling, before that of opening
	method           string
	variant          variant
	discovery        bool
	opened           bool // its begin was seen

	settled bool // parked sightings were released; owner says to whom
	owner   xds.Sidecar
	parked  []xds.Sighting
	bytes   int
	mixed   bool // another node was met and told

	subs    map[string]*sub
	waiting int  // requests that wait for the push they answer
	held    int  // bytes of subs, see holding
	crowded bool // a type found no place in subs, and that was told
}

// stream finds or makes the stream of a sighting; nil when it has ended and the
// sighting does not bring it back.
func (r *Recorder) stream(s xds.Sighting) *stream {
	st, live := r.streams[s.Stream]
	if !live && r.late(s) {
		return nil
	}
	if s.Kind != xds.SawOpen {
		if !live {
			st = r.open(s.Stream, nil)
			st.conn = s.Conn
		}
		return st
	}
	if live && (st.settled || len(st.parked) > 0) {
		r.settle(st, xds.Sidecar{})
		st.finish(r)
		st.gap(r, s, fmt.Sprintf("stream %d was opened again without having been closed", s.Stream))
		// A reader must not take it for alive.
		s.Extra = nil
		r.emit(st, s, xds.Record{Kind: xds.KindClose, Close: &xds.Close{Message: "the end was not seen"}})
		r.end(st)
	}
	st = r.open(s.Stream, s.Open)
	st.conn = s.Conn
	return st
}

func (r *Recorder) open(id uint64, o *xds.Open) *stream {
	delete(r.ended, id)
	st := &stream{id: id, number: r.used.take(id), order: r.turn(), discovery: true, subs: map[string]*sub{}}
	if o != nil {
		st.method, st.opened = o.Method, true
		st.variant, st.discovery = method(o.Method)
	}
	st.settled = !st.discovery
	r.streams[id] = st
	return st
}

// sight takes a sighting of a stream, keeping it back until the stream's owner is
// known.
func (r *Recorder) sight(st *stream, s xds.Sighting) {
	if st.settled {
		r.handle(st, s)
		return
	}
	if s.Kind == xds.SawRequest {
		if id, ok := st.nodeOf(s); ok {
			r.settle(st, id)
			r.handle(st, s)
			return
		}
	}
	st.parked = append(st.parked, s)
	st.bytes += s.Bytes()
	r.held += s.Bytes()
	if s.Kind == xds.SawClose || len(st.parked) >= parkedSightings || st.bytes >= parkedBytes {
		r.settle(st, xds.Sidecar{})
	}
	r.squeeze()
}

// settle gives a stream its owner and writes what was kept back.
func (r *Recorder) settle(st *stream, owner xds.Sidecar) {
	if st.settled {
		return
	}
	st.settled, st.owner, st.order = true, owner, r.turn()
	parked := st.parked
	r.held -= st.bytes
	st.parked, st.bytes = nil, 0
	for _, s := range parked {
		r.handle(st, s)
	}
}

func (st *stream) nodeOf(s xds.Sighting) (xds.Sidecar, bool) {
	if s.Msg == nil {
		return xds.Sidecar{}, false
	}
	q, err := parseRequest(s.Msg.Envelope, st.delta(s.Msg, false))
	if err != nil || !q.hasNode {
		return xds.Sidecar{}, false
	}
	return Identity(q.node), true
}

// delta says how to read m.
func (st *stream) delta(m *xds.Message, response bool) bool {
	if st.variant == variantUnknown {
		st.variant = guessVariant(m, response)
	}
	return st.variant == variantDelta
}

// handle writes the records of one sighting of a settled stream.
func (r *Recorder) handle(st *stream, s xds.Sighting) {
	switch s.Kind {
	case xds.SawOpen:
		r.emit(st, s, xds.Record{Kind: xds.KindOpen, Open: r.red.open(s.Open)})
	case xds.SawRequest:
		r.request(st, s)
	case xds.SawResponse:
		r.response(st, s)
	case xds.SawGap:
		st.flush(r)
		st.mixed = st.mixed || strings.HasPrefix(s.Reason, secondNode) // told already
		r.emit(st, s, xds.Record{Kind: xds.KindGap, Gap: gapOf(s)})
	case xds.SawClose:
		st.finish(r)
		r.emit(st, s, xds.Record{Kind: xds.KindClose, Close: r.red.close(s.Close)})
		r.end(st)
	}
}

// record fills in what every record of a stream has.
func (st *stream) record(s xds.Sighting, rec xds.Record) xds.Record {
	rec.Time, rec.Took, rec.Extra = s.Time, s.Took, s.Extra
	rec.Stream, rec.Sidecar = st.number, st.owner
	return rec
}

func (r *Recorder) emit(st *stream, s xds.Sighting, rec xds.Record) {
	r.out = append(r.out, &item{rec: st.record(s, rec)})
}

func gapOf(s xds.Sighting) *xds.Gap {
	if s.Gap != nil {
		g := *s.Gap
		return &g
	}
	return &xds.Gap{Reason: s.Reason}
}

func (st *stream) gap(r *Recorder, s xds.Sighting, reason string, types ...string) {
	s.Extra = nil // of the line that the gap is about
	r.emit(st, s, xds.Record{Kind: xds.KindGap, Gap: &xds.Gap{Reason: reason, Types: types}})
}

// finish writes all that waits on the stream: it ends.
func (st *stream) finish(r *Recorder) {
	for _, typ := range st.types() {
		b := st.subs[typ]
		b.flush(r)
		b.orphan(r, st)
	}
}

// flush writes what a storm holds back.
func (st *stream) flush(r *Recorder) {
	for _, typ := range st.types() {
		st.subs[typ].flush(r)
	}
}

func (st *stream) advance(r *Recorder, t time.Time) {
	for _, typ := range st.types() {
		st.subs[typ].advance(r, st, t)
	}
}
