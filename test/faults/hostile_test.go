package faults

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestHostileBytes sends what is made to break a parser: it arrives byte for byte,
// the proxy lives on without having grown, and records the next connection.
func TestHostileBytes(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr})
	hostile := map[string][]byte{
		"message of 4 GB":    frames(func(f *http2.Framer) { _ = f.WriteData(1, false, []byte{0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3}) }),
		"empty messages":     frames(func(f *http2.Framer) { _ = f.WriteData(1, false, make([]byte, 16380)) }),
		"wrong flag":         frames(func(f *http2.Framer) { _ = f.WriteData(1, false, []byte{7, 0, 0, 0, 1, 0}) }),
		"truncated protobuf": frames(func(f *http2.Framer) { _ = f.WriteData(1, false, prefixed(0, []byte{0x12, 0xff, 0x01, 0x0a})) }),
		"varint without end": frames(func(f *http2.Framer) { _ = f.WriteData(1, false, prefixed(0, bytes.Repeat([]byte{0xff}, 4000))) }),
		"length of 2^63": frames(func(f *http2.Framer) {
			_ = f.WriteData(1, false, prefixed(0, []byte("\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f")))
		}),
		"broken gzip":          frames(func(f *http2.Framer) { _ = f.WriteData(1, false, prefixed(1, []byte{0x1f, 0x8b, 8, 0, 1, 2, 3})) }),
		"frame without end":    append([]byte{0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1}, make([]byte, 100_000)...),
		"reset without code":   {0, 0, 1, 3, 0, 0, 0, 0, 1, 0},
		"header bomb":          bomb(),
		"continuations":        continuations(),
		"data of no stream":    frames(func(f *http2.Framer) { f.AllowIllegalWrites = true; _ = f.WriteData(0, false, []byte("x")) }),
		"thousands of streams": manyStreams(),
	}
	s := connect(t, x.target, p).open(adsSotW) // opens what is opened once
	s.finish()
	before := x.anon()
	for name, b := range hostile {
		for _, up := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				s := connect(t, x.target, p)
				go s.client.swallow()
				if err := s.client.greet(true); err != nil {
					t.Fatal(err)
				}
				go s.met().swallow()
				if err := s.server.greet(false); err != nil {
					t.Fatal(err)
				}
				s.stream1(adsSotW)
				from, to := s.client, s.server
				if !up {
					from, to = to, from
				}
				for range 20 {
					if err := from.raw(b); err != nil {
						t.Fatal(err)
					}
				}
				s.came(from, to)
				s.finish()
			})
		}
	}
	if grown := x.anon() - before; grown > 256<<20 {
		t.Errorf("the proxy has grown by %d bytes", grown)
	}
	c := newChurn(connect(t, x.target, p), 10, 10)
	c.next()
	c.finish()
	x.stop()
	if n := len(held(t, x.store).pushes()); n == 0 {
		t.Error("the connection after the hostile ones was not recorded")
	}
	verified(t, x.store)
}

func frames(f func(*http2.Framer)) []byte {
	var b bytes.Buffer
	f(http2.NewFramer(&b, nil))
	return b.Bytes()
}

// bomb is a header block that names one large field again and again.
func bomb() []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	f := hpack.HeaderField{Name: "x", Value: string(make([]byte, 4000))}
	for range 16_000 {
		_ = enc.WriteField(f) // into memory; one byte from the second on
	}
	return frames(func(fr *http2.Framer) {
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: b.Bytes()[:16000], EndHeaders: true})
	})
}

// continuations is a header block that goes on and on.
func continuations() []byte {
	return frames(func(f *http2.Framer) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: block("a", "b")})
		for range 1000 {
			_ = f.WriteContinuation(3, false, block("name-of-a-header", "value"))
		}
	})
}

// manyStreams opens more than an observer follows.
func manyStreams() []byte {
	head := block(":method", "POST", ":path", adsSotW, "content-type", "application/grpc")
	return frames(func(f *http2.Framer) {
		for id := uint32(3); id < 40_000; id += 2 {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndHeaders: true})
		}
	})
}
