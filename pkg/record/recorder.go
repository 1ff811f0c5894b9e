package record

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// Log is where records go.
type Log interface {
	// Append takes all of recs and bodies or nothing, and sets recs[i].Seq.
	Append(recs []xds.Record, bodies []xds.Body) error
	// Has reports whether the body of d is there. It is called concurrently.
	Has(d xds.Digest) bool
}

// Opaque says what is kept of an Any of a type that nobody here knows, whose
// bytes can therefore not be searched for secrets.
type Opaque string

// The choices.
const (
	OpaqueBytes  Opaque = "bytes"
	OpaqueDigest Opaque = "digest"
)

// Config is what a Recorder needs.
type Config struct {
	// Log takes the records. Required.
	Log Log
	// Key is the secret (32 bytes) under which redacted values are hashed, so
	// that a change of a value shows. Default: random, for this Recorder only.
	Key []byte
	// Opaque defaults to OpaqueBytes.
	Opaque Opaque
	// KnownBytes bounds the memory for known resources. Default 8 MiB.
	KnownBytes int
	// Pushes holds the last push number of each sidecar in a history that goes
	// on. Default: counting starts at 1.
	Pushes map[xds.Sidecar]uint64
	// StreamOffset is added to an observer's stream numbers, which start at 1 in
	// each process while a history needs them unique. Default 0.
	StreamOffset uint64
}

// ErrClosed is returned by a Recorder after Close.
var ErrClosed = errors.New("the recorder is closed")

// Recorder turns sightings into records. Its methods are called by one goroutine
// at a time, except Known.
type Recorder struct {
	cfg     Config
	red     *redactor
	known   *known
	pushes  *numbers
	shift   map[xds.Sidecar]uint64 // see shifted; of files only
	streams map[uint64]*stream     // live ones, by the observer's number
	ended   map[uint64]ended       // ditto, at most endsKept
	held    int                    // bytes, at most heldBytes and one message
	used    used
	turns   uint64
	out     []*item
	lost    uint64 // records that the Log did not take
	lostAt  time.Time
	why     error
	closed  bool
}

// item is a record on its way to the Log, with what it needs there.
type item struct {
	rec    xds.Record
	bodies []xds.Body
	keys   []staged
}

// New returns a Recorder.
func New(cfg Config) (*Recorder, error) {
	if cfg.Log == nil {
		return nil, errors.New("a recorder needs a log")
	}
	if cfg.Opaque == "" {
		cfg.Opaque = OpaqueBytes
	}
	if cfg.Opaque != OpaqueBytes && cfg.Opaque != OpaqueDigest {
		return nil, fmt.Errorf("opaque %q is neither %q nor %q", cfg.Opaque, OpaqueBytes, OpaqueDigest)
	}
	if cfg.KnownBytes <= 0 {
		cfg.KnownBytes = 8 << 20
	}
	if cfg.Key == nil {
		cfg.Key = make([]byte, 32)
		if _, err := rand.Read(cfg.Key); err != nil {
			return nil, fmt.Errorf("making a redaction key: %w", err)
		}
	}
	k, err := newKnown(cfg.KnownBytes)
	if err != nil {
		return nil, fmt.Errorf("making the table of known resources: %w", err)
	}
	pushes, err := newNumbers(cfg.Pushes)
	if err != nil {
		return nil, fmt.Errorf("making the table of push numbers: %w", err)
	}
	cfg.Pushes = nil
	return &Recorder{cfg: cfg, red: newRedactor(cfg.Key, cfg.Opaque), known: k, pushes: pushes, shift: map[xds.Sidecar]uint64{},
		streams: map[uint64]*stream{}, ended: map[uint64]ended{}, used: used{offset: cfg.StreamOffset}}, nil
}

// Known reports whether the bytes of key need not be handed over again: the Log
// has taken them and still has them.
func (r *Recorder) Known(key xds.Key) bool {
	d, ok := r.known.digest(key)
	return ok && r.cfg.Log.Has(d)
}

// Sight records what an observer saw. An error is the Log's: what this call would
// have written is lost, which the history will say; the Recorder stays usable.
func (r *Recorder) Sight(s xds.Sighting) error {
	if r.closed {
		return ErrClosed
	}
	switch {
	case s.Kind == xds.SawBase:
		r.base(s)
	case s.Stream == 0:
		r.connection(s)
	default:
		if st := r.stream(s); st != nil {
			r.sight(st, s)
		}
	}
	return r.flush()
}

// Advance lets time pass: what waits for company or for its push is written.
func (r *Recorder) Advance(t time.Time) error {
	if r.closed {
		return ErrClosed
	}
	for _, st := range r.live() {
		st.advance(r, t)
	}
	return r.flush()
}

// Close writes what still waits. Streams stay open in the history.
func (r *Recorder) Close() error {
	if r.closed {
		return ErrClosed
	}
	for _, st := range r.live() {
		r.settle(st, xds.Sidecar{})
		st.finish(r)
	}
	r.closed = true
	return r.flush()
}

// live lists the streams in the order in which they stand in the history: by
// their first records, those that have none yet last.
func (r *Recorder) live() []*stream {
	return slices.SortedFunc(maps.Values(r.streams), func(a, b *stream) int {
		if a.settled != b.settled {
			return map[bool]int{true: -1, false: 1}[a.settled]
		}
		return cmp.Compare(a.order, b.order)
	})
}

// turn numbers what happens to streams.
func (r *Recorder) turn() uint64 {
	r.turns++
	return r.turns
}

// connection spreads a sighting that concerns a connection over its streams.
func (r *Recorder) connection(s xds.Sighting) {
	hit := false
	for _, st := range r.live() {
		if s.Conn != 0 && st.conn == s.Conn {
			hit = true
			one := s
			one.Stream = st.id
			r.sight(st, one)
		}
	}
	if s.Kind == xds.SawGap && !hit {
		r.out = append(r.out, &item{rec: xds.Record{Time: s.Time, Took: s.Took, Kind: xds.KindGap, Extra: s.Extra, Gap: gapOf(s)}})
	}
}

// base takes over what a file says a sidecar held.
func (r *Recorder) base(s xds.Sighting) {
	if s.Base == nil {
		return
	}
	b, id := s.Base.Base, s.Base.Sidecar
	if b.Push > 0 { // a history that is there already may end behind it
		r.shift[id] = max(r.pushes.last(id), b.Push) - b.Push
	}
	b.Push += r.shift[id]
	b.Pending = slices.Clone(b.Pending)
	for i := range b.Pending {
		b.Pending[i].Number += r.shift[id]
	}
	r.pushes.reach(id, b.Push)
	streams := slices.Clone(b.Streams)
	for i, bs := range streams {
		st := r.open(bs.Stream, &bs.Open)
		st.settled, st.owner, st.opened = true, id, false
		streams[i].Stream = st.number
		for _, p := range b.Pending {
			if p.Stream == bs.Stream {
				r.sub(st, s, p.Type).add(r, st, &push{nonce: name(p.Nonce), number: p.Number, owner: id})
			}
		}
	}
	b.Streams = streams
	it := &item{rec: xds.Record{Time: s.Time, Kind: xds.KindBase, Sidecar: id, Extra: s.Extra, Base: &b}, bodies: r.clean(s.Base)}
	r.out = append(r.out, it)
}

// clean redacts the bodies of a base. A digest that this changes is changed in
// the base too.
func (r *Recorder) clean(b *xds.BaseLine) []xds.Body {
	out := make([]xds.Body, 0, len(b.Bodies))
	moved := map[xds.Digest]xds.Digest{}
	for _, body := range b.Bodies {
		safe := r.red.any
		if body.Digest == b.Base.Node {
			safe = r.red.node
		}
		n := xds.NewBody(safe(body.Bytes))
		moved[body.Digest] = n.Digest
		out = append(out, n)
	}
	if d, ok := moved[b.Base.Node]; ok {
		b.Base.Node = d
	}
	for _, t := range b.Base.Types {
		for i, e := range t.Resources {
			if d, ok := moved[e.Digest]; ok {
				t.Resources[i].Digest = d
			}
		}
	}
	return out
}

// flush hands everything to the Log, a gap for what was lost before first: also
// where there is nothing else, so that a loss is told when no one speaks any more.
func (r *Recorder) flush() error {
	if len(r.out) == 0 && r.lost == 0 {
		return nil
	}
	recs := make([]xds.Record, 0, len(r.out)+1)
	if r.lost > 0 {
		gap := &xds.Gap{Reason: "writing failed: " + r.why.Error(), Lost: r.lost}
		recs = append(recs, xds.Record{Time: r.lostAt, Kind: xds.KindGap, Gap: gap})
	}
	var bodies []xds.Body
	var keys []staged
	seen := map[xds.Digest]bool{}
	for _, it := range r.out {
		recs = append(recs, it.rec)
		for _, b := range it.bodies {
			if !seen[b.Digest] && !r.cfg.Log.Has(b.Digest) {
				seen[b.Digest] = true
				bodies = append(bodies, b)
			}
		}
		keys = append(keys, it.keys...)
	}
	err := r.cfg.Log.Append(recs, bodies)
	if err != nil {
		if r.lost == 0 {
			r.lostAt = r.out[0].rec.Time
		}
		r.lost += uint64(len(r.out))
		r.why = err
		r.out = r.out[:0]
		r.known.forget(keys)
		return fmt.Errorf("appending %d records to the log: %w", len(recs), err)
	}
	for _, k := range keys {
		r.known.add(k)
	}
	r.out, r.lost, r.why = r.out[:0], 0, nil
	return nil
}

// used hands out stream numbers that are unique through a history.
type used struct {
	offset uint64
	floor  uint64 // every number up to here is taken
	above  map[uint64]bool
	most   uint64
}

func (u *used) take(id uint64) uint64 {
	if id <= u.floor || u.above[id] {
		id = u.most + 1
	}
	if u.above == nil {
		u.above = map[uint64]bool{}
	}
	u.above[id] = true
	u.most = max(u.most, id)
	for u.above[u.floor+1] {
		u.floor++
		delete(u.above, u.floor)
	}
	return u.offset + id
}

// taken reports whether a number was in use.
func (u *used) taken(id uint64) bool { return id <= u.floor || u.above[id] }

// LastStream is the highest stream number in use, where the next history that is
// put behind this one starts (Config.StreamOffset).
func (r *Recorder) LastStream() uint64 { return r.used.offset + r.used.most }
