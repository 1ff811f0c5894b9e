package intercept

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

var errFraming = errors.New("grpc: message prefix is neither plain nor compressed")

// body reads one gRPC message of known size as it streams by.
type body interface {
	feed([]byte) error
	finish() (*xds.Message, error)
	drop() // gives back what it holds; the message from finish stays valid
}

// half is one direction of one stream: length-prefixed messages across DATA
// frames. mu guards all of it: the direction's own parser holds it while it
// reads a frame, the other one when it ends the stream.
type half struct {
	mu       sync.Mutex
	st       *stream
	up       bool
	encoding string
	prefix   [5]byte
	n        int    // bytes in prefix
	left     uint64 // bytes of the message not seen yet
	open     bool   // inside a message
	body     body   // nil: the message is counted only
	since    time.Time
	dead     bool   // nothing more is read
	status   string // of HTTP
}

// feed reads a piece of DATA that arrived at time at.
func (h *half) feed(b []byte, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.dead && (len(b) > 0 || h.open && h.left == 0) {
		if !h.open {
			b = h.begin(b, at)
			continue
		}
		n := len(b)
		if uint64(n) > h.left {
			n = int(h.left)
		}
		h.left -= uint64(n)
		h.piece(b[:n], at)
		b = b[n:]
		if h.left == 0 && !h.dead {
			h.end(at)
		}
	}
}

// begin reads the five bytes before a message.
func (h *half) begin(b []byte, at time.Time) []byte {
	if h.n == 0 {
		h.since = at
	}
	n := copy(h.prefix[h.n:], b)
	h.n += n
	if h.n < len(h.prefix) {
		return b[n:]
	}
	h.n, h.open = 0, true
	h.left = uint64(binary.BigEndian.Uint32(h.prefix[1:]))
	if h.prefix[0] > 1 {
		h.dead = true
		h.st.gap(GapFraming, errFraming, at)
		return nil
	}
	body, err := h.newBody(h.left, h.prefix[0] == 1)
	if err != nil {
		h.st.gap(reasonOf(err), err, at)
	}
	h.body = body
	return b[n:]
}

func (h *half) newBody(size uint64, compressed bool) (body, error) {
	if !h.st.discovery() {
		return nil, nil
	}
	if !compressed {
		return h.plainBody(size), nil
	}
	if h.encoding != "gzip" {
		return nil, fmt.Errorf("%w: encoding %.32q is not known", errCompression, h.encoding)
	}
	i, err := newInflated(h.st.in, size, h.plainBody)
	if err != nil {
		return nil, err
	}
	return i, nil
}

func (h *half) plainBody(size uint64) body {
	if h.up {
		return newRequest(h.st.in, size)
	}
	return newResponse(h.st.in, size, h.st.shape, h.st.debug.Load())
}

func (h *half) piece(b []byte, at time.Time) {
	if h.body == nil {
		return
	}
	if err := h.body.feed(b); err != nil {
		h.giveUp(err, at)
	}
}

// giveUp costs the message, not the stream.
func (h *half) giveUp(err error, at time.Time) {
	h.body.drop()
	h.body = nil
	h.st.gap(reasonOf(err), err, at)
}

func (h *half) end(at time.Time) {
	h.open = false
	h.count()
	if h.body == nil {
		return
	}
	if z, ok := h.body.(*inflated); ok {
		h.body = nil
		h.st.inflate(h.up, z, h.since, at)
		return
	}
	m, err := h.body.finish()
	if err != nil {
		h.giveUp(err, at)
		return
	}
	h.body.drop()
	h.body = nil
	h.st.message(h.up, m, h.since, at)
}

// head reads the headers before the messages.
func (h *half) head(list headerList) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := list.get("grpc-encoding"); e != "" {
		h.encoding = e
	}
	if s := list.get(":status"); s != "" {
		h.status = s
	}
}

func (h *half) httpStatus() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status
}

func (h *half) count() {
	if h.up {
		h.st.sent.Add(1)
		return
	}
	h.st.received.Add(1)
}

// stop ends the direction and gives back what it holds.
func (h *half) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dead = true
	if h.body != nil {
		h.body.drop()
		h.body = nil
	}
}

func reasonOf(err error) GapReason {
	switch {
	case errors.Is(err, errMemory):
		return GapMemory
	case errors.Is(err, errCompression):
		return GapCompression
	}
	return GapProtobuf
}
