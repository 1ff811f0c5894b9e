package intercept

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// bufferSize is what is read at once. Buffers are lent only while there is
// something to read, so that idle connections cost next to nothing.
const bufferSize = 64 << 10

// largeSize is what is read at once from a socket that has just filled a buffer: a
// push of megabytes comes with a quarter of the system calls and wake-ups. More
// than that would not stay in a processor's cache until it is observed.
const largeSize = 256 << 10

// tlsBufferSize is one TLS record: such a connection cannot be asked whether it
// is readable, so it keeps its buffer.
const tlsBufferSize = 16 << 10

type bufferPool struct{ small, large sync.Pool }

func (p *bufferPool) get(large bool) *[]byte {
	pool, size := &p.small, bufferSize
	if large {
		pool, size = &p.large, largeSize
	}
	if b, ok := pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, size)
	return &b
}

func (p *bufferPool) put(b *[]byte) {
	if len(*b) == largeSize {
		p.large.Put(b)
		return
	}
	p.small.Put(b)
}

// source reads a connection. The bytes are valid until the next call.
type source interface {
	read() ([]byte, error)
	release()
}

func newSource(c net.Conn, pool *bufferPool) source {
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return newRawSource(raw, pool)
		}
	}
	return &plainSource{c: c, buf: make([]byte, tlsBufferSize)}
}

type plainSource struct {
	c   net.Conn
	buf []byte
}

func (s *plainSource) read() ([]byte, error) {
	n, err := s.c.Read(s.buf)
	if n > 0 {
		return s.buf[:n], nil
	}
	return nil, err
}

func (s *plainSource) release() {}

// rawSource takes a buffer only once the socket is readable.
type rawSource struct {
	raw   syscall.RawConn
	pool  *bufferPool
	buf   *[]byte
	large bool               // the last buffer was too small for what was there
	try   func(uintptr) bool // s.once, made once: a read allocates nothing
	n     int                // what try has read, or why it has not
	err   error
}

func newRawSource(raw syscall.RawConn, pool *bufferPool) *rawSource {
	s := &rawSource{raw: raw, pool: pool}
	s.try = s.once
	return s
}

func (s *rawSource) read() ([]byte, error) {
	s.release()
	err := s.raw.Read(s.try)
	switch {
	case err != nil:
		return nil, err
	case s.err != nil:
		return nil, s.err
	case s.n == 0:
		return nil, io.EOF
	}
	s.large = s.n >= bufferSize
	return (*s.buf)[:s.n], nil
}

// once reads what is there; false waits until something is.
func (s *rawSource) once(fd uintptr) bool {
	s.buf = s.pool.get(s.large)
	for {
		s.n, s.err = syscall.Read(int(fd), *s.buf)
		if !errors.Is(s.err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(s.err, syscall.EAGAIN) {
		s.release()
		return false
	}
	return true
}

func (s *rawSource) release() {
	if s.buf != nil {
		s.pool.put(s.buf)
		s.buf = nil
	}
}

// pump copies one direction: read, write, then observe what was written.
type pump struct {
	src, dst net.Conn
	from     source
	side     *Side // nil = not observed
	back     *Side // the other direction's
	over     func(*Side)
	bytes    *atomic.Uint64
}

// run copies until the source ends. A clean end is passed on as a half-close; nil
// says so. Any other end is an error: the connection is broken in this direction.
func (p *pump) run() error {
	defer p.from.release()
	for {
		b, err := p.from.read()
		if err != nil {
			p.over(p.side) // before the other end hears of it
			return p.ended(err)
		}
		if err := p.pass(b); err != nil {
			p.over(p.back)
			return &passError{err}
		}
	}
}

// passError is a failure to write: what the other side sent before may still be
// on its way.
type passError struct{ error }

func (p *pump) pass(b []byte) error {
	if p.side != nil {
		p.side.Begin()
	}
	n, err := p.dst.Write(b)
	p.bytes.Add(uint64(n))
	if p.side != nil {
		p.side.Feed(b[:n])
	}
	return err
}

func (p *pump) ended(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if h, ok := p.dst.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite() // a peer that is gone shows in the other direction
	}
	return nil
}

// copyAll is run without an observer: between sockets the kernel does it.
func (p *pump) copyAll() error {
	n, err := io.Copy(p.dst, p.src)
	p.bytes.Add(uint64(n))
	if err == nil {
		return p.ended(io.EOF)
	}
	if errors.Is(err, syscall.EPIPE) {
		return &passError{err}
	}
	return err
}

// reset closes c so that its peer sees a reset where there was one.
func reset(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	if l, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = c.Close()
}
