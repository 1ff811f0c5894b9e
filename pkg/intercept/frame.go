package intercept

import (
	"encoding/binary"
	"errors"
)

// The frames that matter (RFC 9113 section 6). All others are skipped.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePushPromise  = 0x5
	frameGoAway       = 0x7
	frameContinuation = 0x9

	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	frameHeaderLen = 9
)

var errHTTP2 = errors.New("http2: broken frame")

// frameHeader is the head of a frame.
type frameHeader struct {
	length int
	typ    byte
	flags  byte
	stream uint32
}

func (f frameHeader) has(flag byte) bool { return f.flags&flag != 0 }

func parseFrameHeader(b [frameHeaderLen]byte) frameHeader {
	return frameHeader{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		typ:    b[3],
		flags:  b[4],
		stream: binary.BigEndian.Uint32(b[5:]) & (1<<31 - 1),
	}
}

// lead is how many bytes stand before the content: the length of the padding, a
// priority, the number of a promised stream.
func (f frameHeader) lead() int {
	n := 0
	if f.has(flagPadded) && (f.typ == frameData || f.typ == frameHeaders || f.typ == framePushPromise) {
		n++
	}
	if f.typ == frameHeaders && f.has(flagPriority) {
		n += 5
	}
	if f.typ == framePushPromise {
		n += 4
	}
	return n
}

// frames splits one direction of a connection into frames and hands their
// content on in pieces. It holds at most a frame's head.
type frames struct {
	to interface {
		begin(frameHeader) error
		content(f frameHeader, b []byte) error
		end(frameHeader) error
	}
	head  [frameHeaderLen]byte
	n     int // bytes in head
	frame frameHeader
	in    bool
	lead  int // bytes before the content still to come
	left  int // content still to come
	pad   int // padding still to come
	first bool
}

func (p *frames) feed(b []byte) error {
	for len(b) > 0 {
		if !p.in {
			n := copy(p.head[p.n:], b)
			p.n += n
			b = b[n:]
			if p.n < frameHeaderLen {
				return nil
			}
			if err := p.start(); err != nil || len(b) == 0 {
				return err
			}
		}
		n, err := p.payload(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// start acts on a complete head.
func (p *frames) start() error {
	p.n, p.in = 0, true
	p.frame = parseFrameHeader(p.head)
	p.lead = p.frame.lead()
	p.left, p.pad, p.first = p.frame.length-p.lead, 0, true
	if p.left < 0 {
		return errHTTP2
	}
	if err := p.to.begin(p.frame); err != nil {
		return err
	}
	return p.done()
}

// done closes a frame that is complete.
func (p *frames) done() error {
	if p.lead+p.left+p.pad > 0 {
		return nil
	}
	p.in = false
	return p.to.end(p.frame)
}

func (p *frames) payload(b []byte) (int, error) {
	switch {
	case !p.in:
		return 0, nil
	case p.lead > 0:
		if p.first && p.frame.has(flagPadded) {
			p.pad = int(b[0])
			p.left -= p.pad
		}
		p.first = false
		p.lead--
		if p.left < 0 {
			return 1, errHTTP2
		}
		return 1, p.done()
	case p.left > 0:
		n := min(len(b), p.left)
		p.left -= n
		if err := p.to.content(p.frame, b[:n]); err != nil {
			return n, err
		}
		return n, p.done()
	}
	n := min(len(b), p.pad)
	p.pad -= n
	return n, p.done()
}
