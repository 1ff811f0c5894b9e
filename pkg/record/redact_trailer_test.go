package record_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// TestTrailerMessage: a grpc-message is percent-encoded; a secret in it is found all
// the same, and one without a secret stays as it was sent.
func TestTrailerMessage(t *testing.T) {
	for sent, want := range map[string]string{
		"all%20fine%3A 100%25 %zz%2":                               "all%20fine%3A 100%25 %zz%2",
		"dial%20https%3A%2F%2Fu%3A" + planted + "%40h":             "dial https://u:MARK@h",
		"%41uthorization%3A%20Bearer%20" + planted:                 "Authorization: MARK",
		"\xc3\xa4%C3%A4 password%3D" + planted + "%2C%20so 100%25": "%C3%A4%C3%A4 password=MARK, so 100%25",
	} {
		p := newPlay(t, record.Config{})
		p.run("1 open\n1 req CDS node=web")
		if err := p.rec.Sight(xds.Sighting{Kind: xds.SawClose, Stream: 1, Close: &xds.Close{Trailer: map[string][]string{"Grpc-Message": {sent}}}}); err != nil {
			t.Fatal(err)
		}
		rs := p.records()
		got := rs[len(rs)-1].Close.Trailer["Grpc-Message"][0]
		if strings.Contains(got, planted) || regexp.MustCompile(record.Marker+"[0-9a-f]{16}").ReplaceAllString(got, "MARK") != want {
			t.Errorf("%q is kept as %q, want %q", sent, got, want)
		}
	}
}
