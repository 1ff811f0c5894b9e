package transcript_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

var key = []byte("0123456789abcdef0123456789abcdef")

// all returns every record of a source by number.
func all(t testing.TB, src transcript.History) []xds.Record {
	t.Helper()
	ids, err := src.Sidecars()
	if err != nil {
		t.Fatal(err)
	}
	by := map[uint64]xds.Record{}
	for _, id := range append(ids, xds.Sidecar{}) {
		for r, err := range src.Records(id, 0) {
			if err != nil {
				t.Fatal(err)
			}
			by[r.Seq] = r
		}
	}
	var out []xds.Record
	for n := uint64(1); len(by) > 0; n++ {
		if r, ok := by[n]; ok {
			out = append(out, r)
			delete(by, n)
		}
	}
	return out
}

func export(t testing.TB, src transcript.History, o transcript.Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := transcript.Write(&b, src, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func parse(t testing.TB, text []byte) *transcript.Source {
	t.Helper()
	src, err := transcript.Read(bytes.NewReader(text), "export", transcript.Config{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// raws lists the messages of a transcript per stream and direction.
func raws(t testing.TB, text io.Reader) map[string][][]byte {
	t.Helper()
	out := map[string][][]byte{}
	dec := json.NewDecoder(text)
	for dec.More() {
		var l struct {
			Event  string
			Raw    []byte
			Stream json.Number
		}
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		if l.Event == "request" || l.Event == "response" {
			k := l.Stream.String() + " " + l.Event
			out[k] = append(out[k], l.Raw)
		}
	}
	return out
}

func TestExportImport(t *testing.T) {
	for _, f := range sessions(t) {
		name := filepath.Base(filepath.Dir(f))
		t.Run(name, func(t *testing.T) {
			src := recording(t, f)
			text := export(t, src, transcript.Options{})
			again := parse(t, text)
			if d := differ(all(t, src), all(t, again)); d != "" {
				t.Fatalf("records differ after export and import:\n%s", d)
			}
			if name == "15-large-sotw" {
				return // the rest is slow, and the same as 10-large
			}
			if !bytes.Equal(text, export(t, again, transcript.Options{})) {
				t.Fatal("a second export differs from the first")
			}
			if name != "32-gcp-ads-sotw-ttl" { // its storm is a count
				compareRaw(t, f, text)
			}
		})
	}
}

// compareRaw checks that messages come out as the bytes that went in.
func compareRaw(t *testing.T, file string, text []byte) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	want, got := raws(t, z), raws(t, bytes.NewReader(text))
	for k, w := range want {
		if len(w) != len(got[k]) {
			t.Fatalf("stream %s: %d messages went in, %d came out", k, len(w), len(got[k]))
		}
		for i := range w {
			// The entries of initial_resource_versions come in any order, and come
			// out sorted.
			if !bytes.Equal(w[i], got[k][i]) && !(strings.HasSuffix(k, "request") && sameInitial(t, w[i], got[k][i])) {
				t.Errorf("stream %s, message %d: %q became %q", k, i, w[i][:min(len(w[i]), 200)], got[k][i][:min(len(got[k][i]), 200)])
			}
		}
	}
}

// sameInitial reports whether two Delta requests differ in the order of their
// map only.
func sameInitial(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y discoveryv3.DeltaDiscoveryRequest
	if err := errors.Join(proto.Unmarshal(a, &x), proto.Unmarshal(b, &y)); err != nil {
		t.Fatal(err)
	}
	return len(a) == len(b) && len(x.InitialResourceVersions) > 1 && proto.Equal(&x, &y)
}

// differ compares the fast way first.
func differ(a, b []xds.Record) string {
	if reflect.DeepEqual(a, b) {
		return ""
	}
	return "not deeply equal:\n" + cmp.Diff(a, b)
}
