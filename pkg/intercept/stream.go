package intercept

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// maxParked bounds the responses that wait for their stream's request to be
// parsed. The wait is that of a goroutine for its turn.
const maxParked = 64

// stream is one HTTP/2 stream, shared by the parsers of both directions.
type stream struct {
	in       *inspector
	id       uint32 // in HTTP/2
	conn     uint64
	num      uint64 // unique in the process
	kind     atomic.Int32
	debug    atomic.Bool // a debug type was asked for
	closed   atomic.Bool
	sent     atomic.Uint64
	received atomic.Uint64
	up, down half

	mu      sync.Mutex // guards what follows; held over Tap.Offer, which never blocks
	opened  bool
	parked  []xds.Sighting
	share   share    // for parked
	behind  []*place // a message that is inflated beside, and all that came after it
	waiting share    // for behind
}

func newStream(in *inspector, conn, num uint64, id uint32) *stream {
	s := &stream{in: in, id: id, conn: conn, num: num, share: share{from: in.budget}, waiting: share{from: in.budget}}
	s.up = half{st: s, up: true}
	s.down = half{st: s}
	return s
}

func (s *stream) half(up bool) *half {
	if up {
		return &s.up
	}
	return &s.down
}

func (s *stream) is() kind { return kind(s.kind.Load()) }

// discovery reports whether messages are read: also as long as it is not known.
func (s *stream) discovery() bool {
	k := s.is()
	return k == kindSotW || k == kindDelta || k == kindUnknown
}

func (s *stream) shape() shape {
	if s.is() == kindDelta {
		return shapeResource
	}
	return shapeAny
}

func (s *stream) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// open names the stream, and lets go what the server said before it was named.
func (s *stream) open(k kind, o *xds.Open, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kind.Store(int32(k))
	s.opened = true
	parked := s.parked
	s.parked = nil
	s.share.release()
	if k == kindNone {
		return
	}
	s.in.stats.Streams.Add(1)
	s.offer(xds.Sighting{Kind: xds.SawOpen, Time: at, Open: o})
	if k == kindOther {
		return
	}
	for _, p := range parked {
		s.offer(p)
	}
}

func (s *stream) message(up bool, m *xds.Message, since, at time.Time) {
	s.emit(s.saw(up, m, since, at))
}

// saw counts a message.
func (s *stream) saw(up bool, m *xds.Message, since, at time.Time) xds.Sighting {
	kind, counter := xds.SawResponse, &s.in.stats.Responses
	if up {
		kind, counter = xds.SawRequest, &s.in.stats.Requests
		s.noteDebug(m.Envelope)
	}
	counter.Add(1)
	return xds.Sighting{Kind: kind, Time: at, Took: at.Sub(since), Msg: m}
}

func (s *stream) noteDebug(envelope []byte) {
	if xds.Debug(requestType(envelope, s.is() == kindDelta)) {
		s.debug.Store(true)
	}
}

// gap says that something of this stream is lost.
func (s *stream) gap(r GapReason, err error, at time.Time) {
	if !s.discovery() {
		return
	}
	s.emit(s.sawGap(r, err, at))
}

// sawGap counts a gap.
func (s *stream) sawGap(r GapReason, err error, at time.Time) xds.Sighting {
	s.in.stats.gaps[r].Add(1)
	return xds.Sighting{Kind: xds.SawGap, Time: at, Reason: err.Error()}
}

var (
	errParked = errors.New("responses before their request")
	errBehind = errors.New("messages behind compressed ones")
)

// emit hands over in the order in which things are seen.
func (s *stream) emit(g xds.Sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.behind) > 0 {
		s.queue(g)
		return
	}
	s.deliver(g)
}

// deliver hands over, or keeps what nobody has asked for yet. mu is held.
func (s *stream) deliver(g xds.Sighting) {
	switch {
	case g.Kind == xds.SawClose:
		s.offer(g)
	case s.opened && s.discovery():
		s.offer(g)
	case s.opened:
	case len(s.parked) < maxParked && s.share.take(g.Bytes()):
		s.parked = append(s.parked, g)
	default:
		s.in.stats.gaps[GapMemory].Add(1)
		n := min(len(s.parked), maxParked-1)
		s.parked = append(s.parked[:n], xds.Sighting{Kind: xds.SawGap, Time: g.Time, Reason: errParked.Error()})
	}
}

// abandon gives back what messages hold that will not be read to their end.
func (s *stream) abandon() {
	defer func() { _ = recover() }() // what failed once may fail again
	s.up.stop()
	s.down.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parked = nil
	s.share.release()
}

// close ends the stream once; the first to say so is right.
func (s *stream) close(c *xds.Close, at time.Time) {
	if !s.closed.CompareAndSwap(false, true) {
		return
	}
	s.up.stop()
	s.down.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.share.release()
	if !s.opened || s.is() == kindNone {
		return
	}
	c.Sent, c.Received = s.sent.Load(), s.received.Load()
	end := xds.Sighting{Kind: xds.SawClose, Time: at, Close: c}
	if len(s.behind) > 0 {
		s.queue(end)
		return
	}
	s.offer(end)
}

// offer stamps and hands over. Overflow is the tap's business: it counts, and
// tells the gap.
func (s *stream) offer(g xds.Sighting) {
	g.Conn, g.Stream = s.conn, s.num
	s.in.tap.Offer(g)
}
