package traffic

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
)

// TestShared: equal metadata is kept once, different metadata apart.
func TestShared(t *testing.T) {
	text := func(kv ...string) map[string]*structpb.Value {
		out := map[string]*structpb.Value{}
		for i := 0; i < len(kv); i += 2 {
			out[kv[i]] = structpb.NewStringValue(kv[i+1])
		}
		return out
	}
	number := map[string]*structpb.Value{"a": structpb.NewNumberValue(1)}
	all := []map[string]*structpb.Value{text("a", "b"), text("a", "b", "c", "d"), text("ab", ""), text("", "ab"), text("a", "bc"), number}
	var s shared
	for i, m := range all {
		h := []host{{match: m}, {match: m, meta: m}}
		s.assignment(&assignment{priorities: []priority{{[]locality{{hosts: h}}}}})
		for k, o := range all {
			if got := reflect.ValueOf(h[1].match).Pointer() == reflect.ValueOf(o).Pointer(); got != (i == k) {
				t.Errorf("%v is taken for %v: %v", m, o, got)
			}
		}
	}
	again := []host{{match: text("c", "d", "a", "b")}}
	s.assignment(&assignment{priorities: []priority{{[]locality{{hosts: again}}}}})
	if reflect.ValueOf(again[0].match).Pointer() != reflect.ValueOf(all[1]).Pointer() {
		t.Error("equal metadata is kept twice")
	}
	a, b := &cluster{sockets: []socketMatch{{text("a", "b"), "tls"}}}, &cluster{sockets: []socketMatch{{text("a", "b"), "mtls"}}}
	c := &cluster{sockets: []socketMatch{{text("a", "b"), "tls"}}}
	for _, x := range []*cluster{a, b, c} {
		s.cluster(x)
	}
	if &a.sockets[0] != &c.sockets[0] || &a.sockets[0] == &b.sockets[0] {
		t.Error("equal sockets are not kept once, or different ones are")
	}
}
