package intercept

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// clientPreface is what a client says first (RFC 9113 section 3.4).
const clientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Side observes one direction of a connection. One goroutine feeds it.
type Side struct {
	conn    *Conn
	up      bool
	preface int // bytes of the preface seen
	started bool
	frames  frames
	headers *headerBlock
	at      time.Time

	block    frameHeader // the frame that began the open header block
	inBlock  bool
	current  *stream // of the frame in hand, nil = skipped
	small    [8]byte // content of RST_STREAM and GOAWAY
	smallLen int

	active   atomic.Bool // bytes are passed on that are not read yet
	mu       sync.Mutex  // guards deferred
	deferred []func()
}

func newSide(c *Conn, up bool) *Side {
	s := &Side{conn: c, up: up, headers: newHeaderBlock()}
	s.frames.to = s
	return s
}

// Begin says that bytes are about to be passed on, which Feed will bring.
func (s *Side) Begin() { s.active.Store(true) }

// Feed reads bytes that were passed on. It never fails and never blocks.
func (s *Side) Feed(b []byte) {
	defer s.flush()
	if len(b) == 0 || s.conn.detached.Load() {
		return
	}
	s.at = s.conn.in.clock()
	defer s.rescue()
	s.fail(s.read(b))
}

// rescue keeps a defect of the observer from the connection it watches.
func (s *Side) rescue() {
	if r := recover(); r != nil {
		s.conn.detach(GapPanic, fmt.Sprintf("the observer failed: %T at %.200s", r, where(debug.Stack())), s.at)
	}
}

// where is the line of a stack that failed, without arguments.
func where(stack []byte) []byte {
	_, rest, ok := bytes.Cut(stack, []byte("runtime/panic.go"))
	if !ok {
		return nil
	}
	lines := bytes.SplitN(rest, []byte("\n"), 4)
	if len(lines) < 3 {
		return nil
	}
	file := bytes.TrimSpace(lines[2])
	return file[bytes.LastIndexByte(file, '/')+1:]
}

func (s *Side) fail(err error) {
	switch {
	case err == nil:
	case errors.Is(err, errNotHTTP2), !s.conn.preface.Load():
		s.conn.quiet()
	case errors.Is(err, errHPACK):
		s.conn.detach(GapHPACK, err.Error(), s.at)
	default:
		s.conn.detach(GapHTTP2, err.Error(), s.at)
	}
}

var errNotHTTP2 = errors.New("not HTTP/2 with prior knowledge")

func (s *Side) read(b []byte) error {
	if s.up && s.preface < len(clientPreface) {
		n := min(len(b), len(clientPreface)-s.preface)
		if string(b[:n]) != clientPreface[s.preface:s.preface+n] {
			return errNotHTTP2
		}
		s.preface += n
		b = b[n:]
		if s.preface == len(clientPreface) {
			s.conn.preface.Store(true)
		}
	}
	return s.frames.feed(b)
}

// later runs f now, or, where bytes are on their way that came before, after
// these were read.
func (s *Side) later(f func()) {
	if !s.active.Load() {
		f()
		return
	}
	s.mu.Lock()
	s.deferred = append(s.deferred, f)
	s.mu.Unlock()
	if !s.active.Load() {
		s.runDeferred()
	}
}

func (s *Side) flush() {
	defer s.rescue()
	s.active.Store(false)
	s.runDeferred()
}

func (s *Side) runDeferred() {
	s.mu.Lock()
	fs := s.deferred
	s.deferred = nil
	s.mu.Unlock()
	for _, f := range fs {
		f()
	}
}

// begin is called with each frame's head.
func (s *Side) begin(f frameHeader) error {
	if !s.started && f.typ != frameSettings {
		return errHTTP2
	}
	s.started = true
	if s.inBlock && (f.typ != frameContinuation || f.stream != s.block.stream) {
		return fmt.Errorf("%w: header block interrupted", errHTTP2)
	}
	s.current, s.smallLen = nil, 0
	switch f.typ {
	case frameData, frameReset:
		if f.stream == 0 {
			return fmt.Errorf("%w: no stream", errHTTP2)
		}
		st, err := s.conn.stream(f.stream, s.up, false)
		s.current = st
		return err
	case frameHeaders, framePushPromise:
		if f.stream == 0 {
			return fmt.Errorf("%w: no stream", errHTTP2)
		}
		s.block, s.inBlock = f, true
	case frameContinuation:
		if !s.inBlock {
			return fmt.Errorf("%w: continuation of nothing", errHTTP2)
		}
	}
	return nil
}

func (s *Side) content(f frameHeader, b []byte) error {
	switch f.typ {
	case frameData:
		if s.current != nil {
			s.current.half(s.up).feed(b, s.at)
		}
	case frameHeaders, frameContinuation, framePushPromise:
		return s.headers.write(b)
	case frameReset, frameGoAway:
		s.smallLen += copy(s.small[s.smallLen:], b)
	}
	return nil
}

func (s *Side) end(f frameHeader) error {
	switch f.typ {
	case frameData:
		if s.current != nil && f.has(flagEndStream) {
			s.endStream(s.current, nil)
		}
	case frameHeaders, frameContinuation, framePushPromise:
		if f.has(flagEndHeaders) {
			return s.endBlock()
		}
	case frameReset:
		return s.reset()
	case frameGoAway:
		return s.goAway()
	}
	return nil
}

func (s *Side) endBlock() error {
	s.inBlock = false
	list, err := s.headers.take()
	if err != nil || s.block.typ == framePushPromise {
		return err
	}
	st, err := s.conn.stream(s.block.stream, s.up, true)
	if err != nil || st == nil {
		return err
	}
	if s.up {
		s.requestHeaders(st, list)
	} else {
		st.down.head(list)
	}
	if s.block.has(flagEndStream) {
		s.endStream(st, list)
	}
	return nil
}

// requestHeaders opens the stream; a second block is trailers.
func (s *Side) requestHeaders(st *stream, list headerList) {
	if st.isOpen() {
		return
	}
	path, _, _ := strings.Cut(list.get(":path"), "?")
	st.up.head(list)
	st.open(kindOf(path, list.get("content-type")), &xds.Open{Method: path, Metadata: list.metadata(), Peer: s.conn.peer, Conn: s.conn.num}, s.at)
}

// endStream acts on END_STREAM: of the client it is a half-close, of the server
// the end.
func (s *Side) endStream(st *stream, trailers headerList) {
	if s.up {
		return
	}
	s.conn.end(st, s, trailers.close(st.down.httpStatus()), s.at)
}

func (s *Side) reset() error {
	if s.smallLen < 4 {
		return fmt.Errorf("%w: short reset", errHTTP2)
	}
	if s.current == nil {
		return nil
	}
	code := binary.BigEndian.Uint32(s.small[:])
	how := resetClose(code)
	if s.up {
		how = &xds.Close{By: "client", Code: codes.Canceled.String(), Message: "stream reset: " + resetName(code)}
	}
	s.conn.end(s.current, s, how, s.at)
	return nil
}

func (s *Side) goAway() error {
	if s.smallLen < 8 {
		return fmt.Errorf("%w: short goaway", errHTTP2)
	}
	if !s.up {
		name := resetName(binary.BigEndian.Uint32(s.small[4:]))
		s.conn.goAway.Store(&name)
	}
	return nil
}
