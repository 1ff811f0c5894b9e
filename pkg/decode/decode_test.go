package decode

import (
	"errors"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// body is the Any of a listener under a type URL.
func body(t *testing.T, url, name string) xds.Body {
	t.Helper()
	inner, err := proto.Marshal(&listenerv3.Listener{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(&anypb.Any{TypeUrl: url, Value: inner})
	if err != nil {
		t.Fatal(err)
	}
	return xds.NewBody(b)
}

func TestOneDecodePerDigest(t *testing.T) {
	b := body(t, xds.ListenerType, "a")
	reads := 0
	c := New(func(xds.Digest) ([]byte, bool) { reads++; return b.Bytes, true }, 0)
	first, err := c.Message(b.Digest)
	if err != nil {
		t.Fatal(err)
	}
	second, err := As[*listenerv3.Listener](c, b.Digest)
	if err != nil || second.GetName() != "a" {
		t.Fatalf("got %v, %v", second, err)
	}
	if first != proto.Message(second) || reads != 1 {
		t.Errorf("decoded anew after %d reads", reads)
	}
	if _, err := As[*tcpv3.TcpProxy](c, b.Digest); err == nil {
		t.Error("a listener was taken for a tcp_proxy")
	}
}

func TestBoundInBytes(t *testing.T) {
	bodies := map[xds.Digest][]byte{}
	var all []xds.Digest
	for _, n := range []string{"a", "b", "c", "d", "e", "f"} {
		b := body(t, xds.ListenerType, n)
		bodies[b.Digest], all = b.Bytes, append(all, b.Digest)
	}
	reads := 0
	c := New(func(d xds.Digest) ([]byte, bool) { reads++; return bodies[d], true }, 2*(entryCost+weight*80))
	for range 2 {
		for _, d := range all {
			if _, err := c.Message(d); err != nil {
				t.Fatal(err)
			}
		}
	}
	if reads != 2*len(all) || c.size > c.max {
		t.Errorf("%d reads, %d of %d bytes", reads, c.size, c.max)
	}
}

func TestErrors(t *testing.T) {
	c := New(func(d xds.Digest) ([]byte, bool) { return []byte{0xff}, d == xds.Digest{1} }, 0)
	if _, err := c.Message(xds.Digest{2}); !errors.Is(err, ErrNoBody) {
		t.Errorf("a body that is not there: %v", err)
	}
	for range 2 { // the second time from the cache
		if _, err := c.Message(xds.Digest{1}); err == nil || errors.Is(err, ErrNoBody) {
			t.Errorf("a broken body: %v", err)
		}
	}
	var unknown *UnknownTypeError
	if _, err := Any(&anypb.Any{TypeUrl: "type.googleapis.com/nobody.knows.This"}); !errors.As(err, &unknown) || unknown.URL != "type.googleapis.com/nobody.knows.This" {
		t.Errorf("an unknown type: %v", err)
	}
	if _, err := Any(nil); err == nil {
		t.Error("no Any at all was opened")
	}
}

func TestVersionTwo(t *testing.T) {
	b := body(t, "type.googleapis.com/envoy.api.v2.Listener", "old")
	c := New(func(xds.Digest) ([]byte, bool) { return b.Bytes, true }, 0)
	if l, err := As[*listenerv3.Listener](c, b.Digest); err != nil || l.GetName() != "old" {
		t.Errorf("a v2 listener: %v, %v", l, err)
	}
	for url := range v2Names {
		if _, err := Any(&anypb.Any{TypeUrl: "type.googleapis.com/" + url}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestTypedStruct(t *testing.T) {
	a, err := anypb.New(&udpav1.TypedStruct{TypeUrl: "type.googleapis.com/x", Value: &structpb.Struct{}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Any(a)
	if s, ok := m.(*udpav1.TypedStruct); !ok || err != nil || s.GetTypeUrl() != "type.googleapis.com/x" {
		t.Errorf("got %v, %v", m, err)
	}
}

// FuzzMessage: bytes of any kind give a message or an error.
func FuzzMessage(f *testing.F) {
	f.Add([]byte("\n5type.googleapis.com/envoy.config.listener.v3.Listener\x12\x03\n\x01a"))
	f.Add([]byte("\n%type.googleapis.com/envoy.api.v2.Listener\x12\x03\n\x01a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := New(func(xds.Digest) ([]byte, bool) { return b, true }, 0)
		if m, err := c.Message(xds.Digest{1}); (m == nil) == (err == nil) {
			t.Errorf("%v and %v", m, err)
		}
	})
}
