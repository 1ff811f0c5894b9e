package record_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func TestMalformedIsKept(t *testing.T) {
	torn := append(str(nil, 1, "a"), 0x12, 0x7f, 'x')
	badListener := str(str(nil, 1, xds.ListenerType), 2, string(torn))
	badSecret := str(str(nil, 1, xds.SecretType), 2, string(append(str(nil, 1, planted), 0x12, 0x7f, 'x')))
	p := newPlay(t, record.Config{})
	p.run("1 open\n1 req LDS node=web")
	var raw []byte
	for _, a := range [][]byte{badListener, badSecret} {
		raw = protowire.AppendBytes(protowire.AppendTag(raw, 2, protowire.BytesType), a)
	}
	p.response(raw)
	es := p.records()[2].Push.Resources
	if b, _, _ := p.log.Body(es[0].Digest); !bytes.Equal(b, badListener) {
		t.Errorf("a malformed listener became %q", b)
	}
	if b, _, _ := p.log.Body(es[1].Digest); bytes.Contains(b, []byte(planted)) || !bytes.Contains(b, []byte(record.Marker)) {
		t.Errorf("a malformed secret became %q", b)
	}
}

// TestPlantedInMalformed: what holds the secret ends in the middle of a field, what
// stands around it is whole.
func TestPlantedInMalformed(t *testing.T) {
	torn := func(b []byte) string { return string(append(slices.Clone(b), 0x12, 0x7f, 'x')) }
	value := str(nil, 3, planted)
	entry := str(str(nil, 1, "password"), 2, string(value))
	object := str(nil, 1, string(entry))
	note := str(str(nil, 1, "note"), 2, torn(str(nil, 3, "password="+planted)))
	typed := func(value string) []byte { return str(str(nil, 1, "any.Type"), 2, value) }
	const typedStruct = xds.TypePrefix + "udpa.type.v1.TypedStruct"
	for name, config := range map[string][]byte{
		"any":          []byte(torn(str(str(nil, 1, xds.SecretType), 2, string(str(nil, 1, planted))))),
		"typed struct": str(str(nil, 1, typedStruct), 2, torn(typed(string(object)))),
		"struct":       str(str(nil, 1, typedStruct), 2, string(typed(torn(object)))),
		"entry":        str(str(nil, 1, typedStruct), 2, string(typed(string(str(nil, 1, torn(entry)))))),
		"value":        str(str(nil, 1, typedStruct), 2, string(typed(string(str(nil, 1, string(note)))))),
		"header":       str(str(nil, 1, xds.TypePrefix+"envoy.config.core.v3.HeaderValue"), 2, torn(str(nil, 2, planted))),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, record.Config{})
			p.run("1 open\n1 req CDS node=web")
			socket := str(str(nil, 1, "tls"), 3, string(config))
			p.response(str(nil, 2, string(str(str(nil, 1, xds.ClusterType), 2, string(str(str(nil, 1, "c"), 24, string(socket)))))))
			if got := p.dump(); strings.Contains(got, planted) || !strings.Contains(got, record.Marker) {
				t.Errorf("the history holds %q", got)
			}
		})
	}
}
