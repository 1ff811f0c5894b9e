package transcript

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// maxLine bounds one line in bytes: a message of 256 MiB.
const maxLine = 350 << 20

// LineError says where a transcript is broken. What stands before it is good.
type LineError struct {
	Name   string // of the file
	Line   int    // 1, 2, ...
	Offset int64  // of the line's first byte in the text, after decompression
	Err    error
}

func (e *LineError) Error() string {
	return fmt.Sprintf("%s, line %d (byte %d): %v", e.Name, e.Line, e.Offset, e.Err)
}

// Unwrap returns what is wrong with the line.
func (e *LineError) Unwrap() error { return e.Err }

// Config says how to read.
type Config struct {
	// Key and Opaque are those of record.Config.
	Key    []byte
	Opaque record.Opaque
	// StreamOffset is added to the file's stream numbers: with the last stream
	// number of what was read before, several files keep theirs apart. Default 0.
	StreamOffset uint64
}

// Source is a transcript as a history to read from.
type Source struct {
	*record.Memory
	warnings []string
	last     uint64
}

// Warnings lists what was skipped: one line per unknown kind of event.
func (s *Source) Warnings() []string { return s.warnings }

// LastStream is the highest stream number in use.
func (s *Source) LastStream() uint64 { return s.last }

// Read reads a transcript to its end. name stands in errors. On a *LineError the
// Source is returned too and holds all that stands before the broken line.
func Read(r io.Reader, name string, cfg Config) (*Source, error) {
	s := &Source{Memory: &record.Memory{}}
	rec, err := record.New(record.Config{Log: s.Memory, Key: cfg.Key, Opaque: cfg.Opaque, StreamOffset: cfg.StreamOffset})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	broken := s.feed(rec, Sightings(r, name, func(w string) { s.warnings = append(s.warnings, w) }))
	s.last = rec.LastStream()
	return s, broken
}

func (s *Source) feed(rec *record.Recorder, lines iter.Seq2[xds.Sighting, error]) error {
	var broken error
	for x, err := range lines {
		if err != nil {
			broken = err
			break
		}
		if err := rec.Sight(x); err != nil {
			return err
		}
	}
	if err := rec.Close(); err != nil {
		return err
	}
	return broken
}

// Sightings yields the lines of a transcript as what an observer would have
// handed over. An error is a *LineError and the last thing yielded. warn is
// called once for each kind of event that is not known.
func Sightings(r io.Reader, name string, warn func(string)) iter.Seq2[xds.Sighting, error] {
	return func(yield func(xds.Sighting, error) bool) {
		p := &reader{name: name, warn: warn, seed: rand.Uint64(), warned: map[string]bool{}}
		if err := p.run(r, yield); err != nil {
			yield(xds.Sighting{}, &LineError{Name: name, Line: p.line, Offset: p.offset, Err: err})
		}
	}
}

type reader struct {
	name   string
	warn   func(string)
	warned map[string]bool
	seed   uint64
	line   int
	offset int64
	buf    []byte
	bases  []xds.Sighting // of sidecars known by display name only
}

var errStopped = errors.New("the reader has had enough")

func (p *reader) run(r io.Reader, yield func(xds.Sighting, error) bool) error {
	p.line = 1
	in, done, err := decompress(r)
	if err != nil {
		return err
	}
	defer done()
	send := func(s xds.Sighting) error {
		if !yield(s, nil) {
			return errStopped
		}
		return nil
	}
	err = p.lines(bufio.NewReaderSize(in, 1<<16), send)
	if !errors.Is(err, errStopped) {
		if late := p.leftBases(send); late != nil && err == nil {
			err = late
		}
	}
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

func (p *reader) lines(in *bufio.Reader, send func(xds.Sighting) error) error {
	for {
		err := p.next(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("the file ends here or is damaged: %w", err)
		}
		if len(bytes.TrimSpace(p.buf)) > 0 {
			if err := p.one(send); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
		p.line++
		p.offset += int64(len(p.buf))
	}
}

// next reads one line into buf.
func (p *reader) next(in *bufio.Reader) error {
	p.buf = p.buf[:0]
	for {
		b, err := in.ReadSlice('\n')
		p.buf = append(p.buf, b...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if len(p.buf) > maxLine {
			return fmt.Errorf("the line is longer than %d bytes", maxLine)
		}
	}
}

func (p *reader) one(send func(xds.Sighting) error) error {
	l, err := parseLine(p.buf)
	if err != nil {
		return err
	}
	s, ok, err := l.sighting(p.seed)
	if err != nil {
		return err
	}
	if !ok {
		if !p.warned[l.event] {
			p.warned[l.event] = true
			p.warn(fmt.Sprintf("%s, line %d: event %q is not known; skipped", p.name, p.line, l.event))
		}
		return nil
	}
	if s.Kind == xds.SawBase && l.small.ID == nil && len(l.small.Node) == 0 {
		p.bases = append(p.bases, s)
		return nil
	}
	if err := p.adopt(s, send); err != nil {
		return err
	}
	return send(s)
}

// adopt sends the base of a sidecar that the file names by its display name as
// soon as a request tells who that is.
func (p *reader) adopt(s xds.Sighting, send func(xds.Sighting) error) error {
	if len(p.bases) == 0 || s.Kind != xds.SawRequest {
		return nil
	}
	id, ok := record.NodeOf(s.Msg)
	if !ok {
		return nil
	}
	for i, b := range p.bases {
		if n := b.Base.Sidecar.Node; n == id.Name() || n == id.FullName() {
			b.Base.Sidecar = id
			p.bases = append(p.bases[:i], p.bases[i+1:]...)
			return send(b)
		}
	}
	return nil
}

func (p *reader) leftBases(send func(xds.Sighting) error) error {
	for _, b := range p.bases {
		if err := send(b); err != nil {
			return err
		}
	}
	return nil
}

// decompress looks at the first bytes to see what r is.
func decompress(r io.Reader) (io.Reader, func(), error) {
	in := bufio.NewReaderSize(r, 1<<16)
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("reading the first bytes: %w", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the gzip header: %w", err)
		}
		return z, func() { _ = z.Close() }, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, fmt.Errorf("reading the zstd header: %w", err)
		}
		return z, z.Close, nil
	}
	return in, func() {}, nil
}
