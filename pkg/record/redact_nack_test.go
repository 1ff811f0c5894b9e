package record_test

import (
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// TestPlantedInRejections: an Envoy prints the message that it rejects.
func TestPlantedInRejections(t *testing.T) {
	text := "Proto constraint validation failed (RouteValidationError.Match): name: \"visible\"\nrequest_headers_to_add {\n  header {\n" +
		"    key: \"authorization\"\n    value: \"" + planted + "\"\n  }\n}\nprivate_key { inline_string: \"" + planted + "\" }"
	req, err := proto.Marshal(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.ListenerType, ResponseNonce: "n", ErrorDetail: &status.Status{Code: 3, Message: text}})
	if err != nil {
		t.Fatal(err)
	}
	p := newPlay(t, record.Config{})
	p.run("1 open delta\n1 req LDS node=web")
	p.response(respond(t))
	for _, s := range []xds.Sighting{
		{Kind: xds.SawRequest, Stream: 1, Msg: &xds.Message{Envelope: req}},
		{Kind: xds.SawClose, Stream: 1, Close: &xds.Close{Message: text}},
	} {
		if err := p.rec.Sight(s); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.dump(); strings.Contains(got, planted) || strings.Count(got, "visible") != 2 || strings.Count(got, record.Marker) != 4 {
		t.Errorf("the history holds %s", got)
	}
}
