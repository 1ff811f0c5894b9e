package intercept

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// maxStreams bounds the streams of one connection that are open at once.
const maxStreams = 16384

// Conn observes one connection. Up and Down are fed by one goroutine each.
type Conn struct {
	// Up takes the bytes from client to server, Down those from server to client.
	Up, Down *Side

	in         *inspector
	num        uint64
	peer       string
	nextStream func() uint64
	preface    atomic.Bool            // the client speaks HTTP/2
	detached   atomic.Bool            // nothing more is read
	endedBy    atomic.Pointer[string] // who ended the connection first
	goAway     atomic.Pointer[string] // what the server said before it ended

	mu      sync.Mutex // guards what follows; never held over anything that waits
	streams map[uint32]*stream
	newest  uint32 // highest stream the client opened
}

// stream finds the stream of a frame, or nil where it is over or none at all. The
// server may be heard before the client's request is parsed: then the stream is
// made here.
func (c *Conn) stream(id uint32, up, opens bool) (*stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[id]; s != nil {
		if up && opens {
			c.newest = max(c.newest, id)
		}
		return s, nil
	}
	if id%2 == 0 || id <= c.newest || up && !opens {
		return nil, nil
	}
	if len(c.streams) >= maxStreams {
		return nil, errHTTP2
	}
	if up {
		c.newest = id
	}
	s := newStream(c.in, c.num, c.nextStream(), id)
	c.streams[id] = s
	return s, nil
}

// end ends a stream: at once, or when the other direction has read what it has
// already passed on. A close is what came last.
func (c *Conn) end(s *stream, by *Side, how *xds.Close, at time.Time) {
	f := func() {
		s.close(how, at)
		c.mu.Lock()
		delete(c.streams, s.id)
		c.mu.Unlock()
	}
	other := c.Up
	if by == c.Up {
		other = c.Down
	}
	other.later(f)
}

// quiet ends the observation of something that is not HTTP/2.
func (c *Conn) quiet() {
	if c.detached.CompareAndSwap(false, true) {
		c.in.stats.Unobserved.Add(1)
	}
}

// detach ends the observation of a connection that could not be read further.
// Bytes flow on.
func (c *Conn) detach(r GapReason, reason string, at time.Time) {
	if !c.detached.CompareAndSwap(false, true) {
		return
	}
	c.in.stats.Detached.Add(1)
	c.in.stats.gaps[r].Add(1)
	c.tellAll(reason, at)
	for _, s := range c.live() {
		s.abandon()
	}
}

// tellAll gives each discovery stream a gap; a tap that fails has been told enough.
func (c *Conn) tellAll(reason string, at time.Time) {
	defer func() { _ = recover() }()
	told := false
	for _, s := range c.live() {
		if k := s.is(); k == kindSotW || k == kindDelta {
			s.emit(xds.Sighting{Kind: xds.SawGap, Time: at, Reason: reason})
			told = true
		}
	}
	if !told {
		c.in.tap.Offer(xds.Sighting{Kind: xds.SawGap, Conn: c.num, Time: at, Reason: reason})
	}
}

// live are the open streams, oldest first.
func (c *Conn) live() []*stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*stream, 0, len(c.streams))
	for _, s := range c.streams {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *stream) int { return int(int64(a.num) - int64(b.num)) })
	return all
}

// Ended notes that the sender of one direction is gone; the first one to be named
// ended the connection.
func (c *Conn) Ended(by *Side) {
	who := "server"
	if by == c.Up {
		who = "client"
	}
	c.endedBy.CompareAndSwap(nil, &who)
}

// Stopped notes that neither end but the relay itself ended the connection.
func (c *Conn) Stopped() {
	who := "relay"
	c.endedBy.CompareAndSwap(nil, &who)
}

// Close ends the observation: both directions are over and fed no more.
func (c *Conn) Close() {
	at := c.in.clock()
	c.Up.flush()
	c.Down.flush()
	for _, s := range c.live() {
		c.closeLast(s, at)
	}
	c.mu.Lock()
	clear(c.streams)
	c.mu.Unlock()
}

func (c *Conn) closeLast(s *stream, at time.Time) {
	defer c.Up.rescue()
	s.close(c.lastClose(), at)
}

func (c *Conn) lastClose() *xds.Close {
	by := c.endedBy.Load()
	switch {
	case by != nil && *by == "client":
		return &xds.Close{By: "client", Code: codes.Canceled.String(), Message: "the client closed the connection"}
	case by != nil && *by == "relay":
		return &xds.Close{By: "server", Code: codes.Unavailable.String(), Message: "the relay ended"}
	}
	msg := "the server closed the connection"
	if g := c.goAway.Load(); g != nil {
		msg += " after GOAWAY " + *g
	}
	return &xds.Close{By: "server", Code: codes.Unavailable.String(), Message: msg}
}
