package faults

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	big "encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// patience is how long a test waits for what must come: a hang guard, no measure.
const patience = 30 * time.Second

// digest is a running digest of bytes.
type digest struct {
	mu sync.Mutex // guards the rest
	h  hash.Hash
	n  int64
}

func newDigest() *digest { return &digest{h: sha256.New()} }

func (d *digest) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n += int64(len(b))
	return d.h.Write(b)
}

func (d *digest) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Sprintf("%d bytes, %x", d.n, d.h.Sum(nil)[:8])
}

func (d *digest) size() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n
}

// poll waits until ok.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// message is a gRPC message that arrived.
type message struct {
	size int
	sum  [32]byte
}

func messageOf(b []byte) message { return message{len(b), sha256.Sum256(b)} }

// end is one end of a connection that speaks gRPC in raw frames. It keeps a
// digest of all that it wrote and of all that it read.
type end struct {
	net.Conn
	wrote, read *digest

	mu    sync.Mutex // guards what follows
	out   *bufio.Writer
	frame *http2.Framer

	got    chan message // messages, in order
	frames chan http2.FrameHeader
	over   chan struct{} // closed when reading has ended
	err    error         // why, valid after over
}

// newEnd wraps a connection; nothing is read before start or listen.
func newEnd(c net.Conn) *end {
	e := &end{Conn: c, wrote: newDigest(), read: newDigest(), got: make(chan message, 4096),
		frames: make(chan http2.FrameHeader, 64), over: make(chan struct{})}
	e.out = bufio.NewWriterSize(io.MultiWriter(c, e.wrote), 64<<10)
	e.frame = http2.NewFramer(e.out, io.TeeReader(bufio.NewReaderSize(c, 64<<10), e.read))
	e.frame.SetMaxReadFrameSize(1<<24 - 1)
	return e
}

// do writes frames in one go.
func (e *end) do(f func(*http2.Framer) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := f(e.frame); err != nil {
		return err
	}
	return e.out.Flush()
}

// raw writes bytes as they are.
func (e *end) raw(b []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := e.out.Write(b); err != nil {
		return err
	}
	return e.out.Flush()
}

// greet opens all windows, so that neither end waits for the other.
func (e *end) greet(client bool) error {
	if client {
		if err := e.raw([]byte(http2.ClientPreface)); err != nil {
			return err
		}
	}
	return e.do(func(f *http2.Framer) error {
		err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1<<24 - 1})
		return errors.Join(err, f.WriteWindowUpdate(0, 1<<31-1-65535))
	})
}

// listen reads frames until the connection ends and tells what messages they carry.
func (e *end) listen(server bool) {
	defer close(e.over)
	if server {
		preface := make([]byte, len(http2.ClientPreface))
		if _, e.err = io.ReadFull(io.TeeReader(e.Conn, e.read), preface); e.err != nil {
			return
		}
	}
	parts := map[uint32]*bytes.Buffer{}
	for {
		f, err := e.frame.ReadFrame()
		if err != nil {
			e.err = err
			return
		}
		if d, ok := f.(*http2.DataFrame); ok {
			b := parts[d.StreamID]
			if b == nil {
				b = &bytes.Buffer{}
				parts[d.StreamID] = b
			}
			b.Write(d.Data())
			e.messages(b)
			continue
		}
		select {
		case e.frames <- f.Header():
		default: // nobody looks
		}
	}
}

func (e *end) messages(b *bytes.Buffer) {
	for b.Len() >= 5 {
		n := int(big.BigEndian.Uint32(b.Bytes()[1:]))
		if b.Len() < 5+n {
			b.Grow(5 + n - b.Len())
			return
		}
		b.Next(5)
		e.got <- messageOf(b.Next(n))
	}
}

// swallow reads bytes that are no HTTP/2 until the connection ends.
func (e *end) swallow() {
	defer close(e.over)
	_, e.err = io.Copy(e.read, struct{ io.Reader }{e.Conn}) // not the WriteTo of what it wraps
	if e.err == nil {
		e.err = io.EOF
	}
}

// next is the next message.
func (e *end) next() (message, error) {
	select {
	case m := <-e.got:
		return m, nil
	default:
	}
	select {
	case m := <-e.got:
		return m, nil
	case <-e.over:
		select {
		case m := <-e.got:
			return m, nil
		default:
			return message{}, fmt.Errorf("the connection ended: %w", e.err)
		}
	case <-time.After(patience):
		return message{}, errors.New("no message came")
	}
}

// ended waits for the end of the connection and says how it came.
func (e *end) ended() error {
	select {
	case <-e.over:
		return e.err
	case <-time.After(patience):
		return errors.New("the connection stayed open")
	}
}

// headers writes a header block.
func headers(t *testing.T, e *end, stream uint32, last bool, fields ...string) {
	t.Helper()
	if err := e.do(func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block(fields...), EndHeaders: true, EndStream: last})
	}); err != nil {
		t.Fatal(err)
	}
}

// block is names and values, encoded.
func block(fields ...string) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i+1 < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // into memory
	}
	return b.Bytes()
}

// send writes one gRPC message in frames of 16 KiB.
func (e *end) send(stream uint32, msg []byte) error {
	return e.do(func(f *http2.Framer) error {
		head := big.BigEndian.AppendUint32([]byte{0}, uint32(len(msg)))
		first := min(len(msg), 16384-len(head))
		if err := f.WriteData(stream, false, append(head, msg[:first]...)); err != nil {
			return err
		}
		for rest := msg[first:]; len(rest) > 0; {
			n := min(len(rest), 16384)
			if err := f.WriteData(stream, false, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
}

// halfClose says that nothing more will come.
func (e *end) halfClose() error { return e.Conn.(interface{ CloseWrite() error }).CloseWrite() }
