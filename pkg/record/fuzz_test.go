package record_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// FuzzResponse: whatever a server sends, the recorder writes something, and what
// it wrote it would write again: export and import change nothing.
func FuzzResponse(f *testing.F) {
	for _, r := range resources(f) {
		f.Add(respond(f, r), true)
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(str(str(nil, 2, string(b)), 4, xds.ListenerType), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, delta bool) {
		p := newPlay(t, record.Config{})
		open := map[bool]string{true: "1 open delta", false: "1 open"}[delta]
		p.run(open + "\n1 req LDS node=web")
		m, err := record.Split(raw)
		if err != nil {
			m = &xds.Message{Envelope: raw}
		}
		if err := p.rec.Sight(xds.Sighting{Kind: xds.SawResponse, Stream: 1, Msg: m}); err != nil {
			t.Fatal(err)
		}
		rs := p.records()
		if len(rs) != 3 {
			t.Fatalf("a response gave %d records", len(rs)-2)
		}
		if rs[2].Push == nil {
			return
		}
		again := newPlay(t, record.Config{})
		again.run(open + "\n1 req LDS node=web")
		out, missing := record.EncodePush(rs[2].Push, func(d xds.Digest) ([]byte, bool) { b, ok, _ := p.log.Body(d); return b, ok })
		if len(missing) > 0 {
			t.Fatalf("bodies %v are not there", missing)
		}
		again.response(out)
		push := again.records()[2].Push
		if push == nil || len(push.Resources) != len(rs[2].Push.Resources) {
			t.Fatalf("%d resources came back as %+v", len(rs[2].Push.Resources), push)
		}
		for i, e := range push.Resources {
			if o := rs[2].Push.Resources[i]; e.Digest != o.Digest || e.Name != o.Name {
				t.Fatalf("resource %d came back as another: %+v, was %+v", i, e, o)
			}
		}
	})
}
