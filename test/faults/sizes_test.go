package faults

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// TestMessageSizes sends messages of sizes at which something begins or ends, in
// both directions.
func TestMessageSizes(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	x := start(t, config{upstream: p.addr})
	s := connect(t, x.target, p).open(adsSotW)
	s.request(firstRequest(t))
	for _, n := range []int{0, 1, 16<<10 - 1, 16 << 10, 16<<10 + 1, 4<<20 - 1, 4 << 20, 4<<20 + 1, 6_600_000, 64 << 20} {
		s.push(sized(fmt.Sprint("push ", n), n))
		s.request(sized(fmt.Sprint("request ", n), n))
	}
	s.update("end", cds(t, "end", 10, nil))
	s.finish()
	x.stop()
	kept := map[string]bool{}
	for _, push := range held(t, x.store).pushes() {
		kept[push.Version] = true
	}
	for _, n := range []int{16 << 10, 4<<20 + 1, 6_600_000, 64 << 20} {
		if !kept[fmt.Sprint("push ", n)] && !held(t, x.store).gap("") {
			t.Errorf("the push of %d bytes is neither recorded nor declared as a gap", n)
		}
	}
	if !kept["end"] {
		t.Error("the push after the large ones was not recorded")
	}
	verified(t, x.store)
}

// sized is a discovery message of exactly n bytes: a version and resources of up
// to a megabyte; one byte or none where that does not fit.
func sized(version string, n int) []byte {
	if n < 100 {
		return make([]byte, n)[:n:n]
	}
	b := text(text(nil, 1, version), 4, "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig")
	for n-len(b) > 1<<20 {
		any := text(nil, 1, "type.googleapis.com/x")
		any = protowire.AppendBytes(protowire.AppendTag(any, 2, protowire.BytesType), make([]byte, 1<<19))
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), any)
	}
	// An unknown field of the envelope brings it to its size.
	head := protowire.AppendTag(nil, 99, protowire.BytesType)
	for room := n - len(b) - len(head); ; room-- {
		if fill := protowire.AppendBytes(head, make([]byte, room-protowire.SizeVarint(uint64(room)))); len(b)+len(fill) <= n {
			b = append(b, fill...)
			break
		}
	}
	for len(b) < n {
		b = append(b, 0xf8, 0x07, 0)[:n:n] // never: sizes above leave no rest
	}
	return b
}
