package transcript_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	open1  = `{"t":"2026-01-01T00:00:00Z","stream":1,"event":"open","method":"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"}` + "\n"
	close1 = `{"t":"2026-01-01T00:00:09Z","stream":1,"event":"close","by":"client","code":"Canceled"}` + "\n"
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func request(stream int, node, nonce string) string {
	b := str(nil, 2, xds.ClusterType)
	if node != "" {
		b = append(str(nil, 1, string(str(nil, 1, node))), b...)
	}
	if nonce != "" {
		b = str(b, 6, nonce)
	}
	return fmt.Sprintf(`{"t":"2026-01-01T00:00:01Z","stream":%d,"event":"request","raw":%q}`+"\n", stream, b64(b))
}

func response(stream int, nonce string) string {
	return fmt.Sprintf(`{"t":"2026-01-01T00:00:02Z","stream":%d,"event":"response","raw":%q}`+"\n", stream, b64(str(str(nil, 4, xds.ClusterType), 5, nonce)))
}

func kinds(t *testing.T, src transcript.History) string {
	var out []string
	for _, r := range all(t, src) {
		out = append(out, r.Kind.String())
	}
	return strings.Join(out, " ")
}

func TestCompressed(t *testing.T) {
	text := open1 + request(1, "web", "") + close1
	var gz, zs bytes.Buffer
	z := gzip.NewWriter(&gz)
	if _, err := io.WriteString(z, text); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	s, err := zstd.NewWriter(&zs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(s, text); err != nil || s.Close() != nil {
		t.Fatal(err)
	}
	for name, in := range map[string][]byte{"plain": []byte(text), "without the last newline": []byte(strings.TrimSpace(text)), "gzip": gz.Bytes(), "zstd": zs.Bytes()} {
		if got := kinds(t, parse(t, in)); got != "open request close" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := kinds(t, parse(t, nil)); got != "" {
		t.Errorf("of nothing: %s", got)
	}
}

func TestBroken(t *testing.T) {
	whole, err := os.ReadFile(recordings + "/01-seed-mysql-delta/session.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	before := open1 + request(1, "web", "")
	for _, c := range []struct {
		name, text string
		line, left int
	}{
		{"not JSON", before + "oops\n" + close1, 3, 2},
		{"torn", before + close1[:40], 3, 2},
		{"not an object", before + "[1]\n", 3, 2},
		{"two objects", before + "{}{}\n", 3, 2},
		{"no event", before + `{"t":"2026-01-01T00:00:00Z"}`, 3, 2},
		{"no time", before + `{"stream":1,"event":"close"}`, 3, 2},
		{"no stream", before + `{"t":"2026-01-01T00:00:00Z","event":"close"}`, 3, 2},
		{"base64", before + `{"t":"2026-01-01T00:00:00Z","stream":1,"event":"request","raw":"*"}`, 3, 2},
		{"a number too large", before + `{"t":"2026-01-01T00:00:00Z","stream":-1,"event":"close"}`, 3, 2},
		{"empty lines count", "\n" + before + "\n\noops", 6, 2},
		{"at once", "oops", 1, 0},
		{"half a gzip", string(whole[:len(whole)/2]), 0, 1},
		{"half a gzip header", "\x1f\x8b\x08", 1, 0},
		{"half a zstd", "\x28\xb5\x2f\xfd\x04", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, err := transcript.Read(strings.NewReader(c.text), "x.jsonl", transcript.Config{})
			var le *transcript.LineError
			if !errors.As(err, &le) || c.line != 0 && le.Line != c.line || le.Line == 0 {
				t.Fatalf("error %v, want one of line %d", err, c.line)
			}
			if !strings.HasPrefix(err.Error(), fmt.Sprintf("x.jsonl, line %d (byte ", le.Line)) {
				t.Errorf("the error does not say where: %v", err)
			}
			if got := len(all(t, src)); got < c.left || c.line != 0 && got != c.left {
				t.Errorf("%d records are usable, want %d", got, c.left)
			}
		})
	}
}

// A message that is no protobuf costs that message: the line itself is fine.
func TestJunkMessage(t *testing.T) {
	junk := `{"t":"2026-01-01T00:00:01Z","stream":1,"event":"response","raw":"Cv8="}` + "\n"
	if got := kinds(t, parse(t, []byte(open1+request(1, "web", "")+junk+close1))); got != "open request gap close" {
		t.Error(got)
	}
}

func TestUnknown(t *testing.T) {
	odd := `{"t":"2026-01-01T00:00:01Z","event":"weather","sky":"blue"}` + "\n"
	text := strings.Replace(open1, `"event"`, `"lab":{"rack":[1, 2]},"event"`, 1) + odd + odd + strings.Replace(odd, "weather", "tide", 1) + request(1, "web", "")
	src := parse(t, []byte(text))
	if w := src.Warnings(); len(w) != 2 || !strings.Contains(w[0], `line 2: event "weather"`) || !strings.Contains(w[1], `line 4: event "tide"`) {
		t.Errorf("warnings %q", w)
	}
	if got := kinds(t, src); got != "open request" {
		t.Error(got)
	}
	if out := string(export(t, src, transcript.Options{})); !strings.Contains(out, `,"lab":{"rack":[1, 2]}}`) {
		t.Errorf("an unknown field is gone: %s", out)
	}
}

func TestNumbersOfTheFile(t *testing.T) {
	push := strings.Replace(response(1, "n1"), `"event"`, `"push":41,"took":1.5,"event"`, 1)
	src := parse(t, []byte(open1+request(1, "web", "")+push+request(1, "", "n1")+response(1, "n2")))
	rs := all(t, src)
	if rs[2].Push.Number != 41 || rs[2].Took.Seconds() != 1.5 || rs[3].Answer.Push != 41 || rs[4].Push.Number != 42 {
		t.Errorf("pushes #%d (%v) and #%d, the answer is to #%d", rs[2].Push.Number, rs[2].Took, rs[4].Push.Number, rs[3].Answer.Push)
	}
}

func TestTwoFilesWithEqualStreams(t *testing.T) {
	log := &record.Memory{}
	last := uint64(0)
	for _, text := range []string{open1 + request(1, "web", ""), open1 + request(1, "db", "")} {
		rec, err := record.New(record.Config{Log: log, StreamOffset: last})
		if err != nil {
			t.Fatal(err)
		}
		for s, err := range transcript.Sightings(strings.NewReader(text), "x", func(string) {}) {
			if err != nil {
				t.Fatal(err)
			}
			if err := rec.Sight(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := rec.Close(); err != nil {
			t.Fatal(err)
		}
		last = rec.LastStream()
	}
	if rs := all(t, log); len(rs) != 4 || rs[0].Stream != 1 || rs[2].Stream != 2 {
		t.Errorf("%d records, the second file's of stream %d", len(rs), rs[2].Stream)
	}
	src, err := transcript.Read(strings.NewReader(open1+request(1, "db", "")), "x", transcript.Config{StreamOffset: 5})
	if err != nil || all(t, src)[0].Stream != 6 || src.LastStream() != 6 {
		t.Errorf("with an offset of 5: stream %d, %v", all(t, src)[0].Stream, err)
	}
}

const baseText = `{"t":"2026-01-01T00:00:00Z","event":"base","sidecar":"web-1.shop","push":41,"types":{"type.googleapis.com/envoy.config.cluster.v3.Cluster":[` +
	`{"name":"a","raw":"CgFhEgA=","state":"both"},{"name":"b","raw":"CgFi","state":"offered"},{"name":"b","raw":"CgFj","state":"accepted"},{"name":"c"}],"zzz":[]}}` + "\n"

func TestBase(t *testing.T) {
	const id = "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local"
	src := parse(t, []byte(baseText+open1+request(1, id, "")+response(1, "n1")))
	web := xds.Sidecar{Node: id}
	base, ok, err := src.Base(web, 0)
	if err != nil || !ok || base.Seq != 0 || base.Base.Push != 41 {
		t.Fatalf("base %+v %v %v: the file names the sidecar as it is displayed, its first request says who it is", base, ok, err)
	}
	es := base.Base.Types[0].Resources
	if es[0].Held != 3 || es[1].Held != xds.HeldOffered || es[2].Held != xds.HeldAccepted || !es[3].Digest.IsZero() || !src.Has(es[1].Digest) {
		t.Errorf("entries %+v", es)
	}
	rs := all(t, src)
	if got := kinds(t, src); got != "open request push" || rs[2].Push.Number != 42 {
		t.Errorf("%s, the push is #%d", got, rs[2].Push.Number)
	}
	if _, err := transcript.Read(strings.NewReader(strings.Replace(baseText, "both", "maybe", 1)), "x", transcript.Config{}); err == nil {
		t.Error("state maybe is taken")
	}
	if alone := parse(t, []byte(baseText)); len(all(t, alone)) != 0 {
		t.Error("a base is a record")
	} else if ids, _ := alone.Sidecars(); len(ids) != 1 || ids[0].Node != "web-1.shop" {
		t.Errorf("sidecars of a lone base: %v", ids)
	}
}

// A history cut from the middle goes out with its base and comes back equal: what
// was open and unanswered at the cut is answered after it.
func TestCut(t *testing.T) {
	web := xds.Sidecar{Node: "web", Mesh: "k1"}
	a, n := xds.NewBody([]byte("\x0a\x01a")), xds.NewBody(append(str(nil, 1, "web"), str(nil, 3, string(str(nil, 1, string(append(str(nil, 1, "CLUSTER_ID"), str(nil, 2, string(str(nil, 3, "k1")))...)))))...))
	base := xds.Base{Push: 7, Node: n.Digest,
		Streams: []xds.BaseStream{{Stream: 4, Open: xds.Open{Method: "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources", Peer: "p"}}},
		Types: []xds.BaseType{{Type: "zz", Uncertain: "gap", Resources: []xds.BaseEntry{{Name: "a", Digest: a.Digest, Held: 7, Stream: 4}, {Name: "b", Held: xds.HeldOffered}}},
			{Type: xds.ClusterType, Resources: []xds.BaseEntry{{Name: "a", Digest: a.Digest, Held: 3}}}},
		Pending: []xds.BasePush{{Number: 7, Stream: 4, Type: xds.ClusterType, Nonce: "n7", Names: []string{"a"}, Removed: []string{"x"}, Full: true}}}
	log := &record.Memory{}
	if err := log.Append([]xds.Record{{Kind: xds.KindBase, Sidecar: web, Base: &base}}, []xds.Body{a, n}); err != nil {
		t.Fatal(err)
	}
	text := string(export(t, log, transcript.Options{})) + request(4, "", "n7") + response(4, "n8") + request(4, "", "n8") + request(4, "", "")
	src := parse(t, []byte(text))
	got, ok, err := src.Base(web, 0)
	if err != nil || !ok {
		t.Fatalf("no base: %v", err)
	}
	if d := differ([]xds.Record{{Kind: xds.KindBase, Sidecar: web, Base: &base}}, []xds.Record{got}); d != "" {
		t.Error(d)
	}
	rs := all(t, src)
	if kinds(t, src) != "answer push answer request" || rs[0].Answer.Push != 7 || rs[1].Push.Number != 8 || rs[0].Sidecar != web {
		t.Errorf("%s, the answer is to #%d", kinds(t, src), rs[0].Answer.Push)
	}
	again := parse(t, export(t, src, transcript.Options{}))
	if d := differ(rs, all(t, again)); d != "" {
		t.Error(d)
	}
}

// After a cut without a base nothing is misread: the lines say what they are.
func TestPartOfAHistory(t *testing.T) {
	log := &record.Memory{}
	whole := read(t, recordings+"/08-reconnect/session.jsonl.gz", transcript.Config{})
	ids, _ := whole.Sidecars()
	if err := log.Append([]xds.Record{{Kind: xds.KindGap, Gap: &xds.Gap{Reason: "all before"}}}, nil); err != nil {
		t.Fatal(err)
	}
	base := xds.Record{Kind: xds.KindBase, Sidecar: ids[0], Base: &xds.Base{Push: 3}}
	if err := log.Append([]xds.Record{base}, nil); err != nil {
		t.Fatal(err)
	}
	for _, r := range all(t, whole)[10:] {
		if err := log.Append([]xds.Record{r}, nil); err != nil {
			t.Fatal(err)
		}
	}
	text := export(t, log, transcript.Options{From: 2, To: 30, Sidecars: ids})
	if first, _, _ := bytes.Cut(text, []byte("\n")); !bytes.Contains(first, []byte(`"event":"base"`)) {
		t.Fatalf("an export from the middle starts with %s", first)
	}
	var want []string
	for _, r := range all(t, log)[1:30] {
		want = append(want, r.Kind.String())
	}
	if got := kinds(t, parse(t, text)); got != strings.Join(want, " ") {
		t.Errorf("got  %s\nwant %s", got, strings.Join(want, " "))
	}
}

func TestPlantedTokenIsGone(t *testing.T) {
	f, err := os.Open(recordings + "/37-agent-istiod-side/session.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil || !bytes.Contains(plain, []byte("not-a-real-token")) {
		t.Fatalf("the recording has no token: %v", err)
	}
	src := parse(t, plain)
	out := export(t, src, transcript.Options{})
	if bytes.Contains(out, []byte("not-a-real-token")) || bytes.Contains(out, []byte(b64([]byte("not-a-real-token"))[:16])) {
		t.Error("the token is in the export")
	}
	for _, r := range all(t, src) {
		if r.Push == nil {
			continue
		}
		for _, e := range r.Push.Resources {
			if b, _, _ := src.Body(e.Digest); bytes.Contains(b, []byte("not-a-real-token")) {
				t.Error("the token is in a body")
			}
		}
	}
	md := all(t, src)[0].Open.Metadata
	if v, ok := md["authorization"]; !ok || len(v) != 0 || len(md["x_team"]) != 0 || len(md["clusterid"]) != 1 {
		t.Errorf("metadata %v", md)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(open1 + request(1, "web", "") + response(1, "n1") + request(1, "", "n1") + close1))
	f.Add([]byte(baseText + open1))
	f.Add([]byte(`{"t":"2026-01-01T00:00:00Z","event":"gap","reason":"x","types":["a"],"lost":3,"z":[{}]}`))
	for _, name := range []string{"13-istio-filters", "32-gcp-ads-sotw-ttl", "51-istio-1.6-v2"} {
		f.Add(head(f, name, 8))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		src, err := transcript.Read(bytes.NewReader(text), "fuzz", transcript.Config{Key: key})
		var le *transcript.LineError
		if err != nil && !errors.As(err, &le) {
			t.Fatal(err)
		}
		// What came in goes out, and what went out comes in.
		again, err := transcript.Read(bytes.NewReader(export(t, src, transcript.Options{})), "export", transcript.Config{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		if a, b := len(all(t, src)), len(all(t, again)); a != b {
			t.Fatalf("%d records went out, %d came in", a, b)
		}
	})
}

// head returns the first lines of a recording, all if lines is negative.
func head(t testing.TB, name string, lines int) []byte {
	t.Helper()
	f, err := os.Open(recordings + "/" + name + "/session.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if lines < 0 {
		return text
	}
	return bytes.Join(bytes.SplitAfterN(text, []byte("\n"), lines+1)[:lines], nil)
}
