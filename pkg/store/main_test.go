package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// roleVar makes the test binary play a part in another process.
const roleVar = "XDSPROXY_STORE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "writer":
		playWriter()
	case "limited":
		playLimited()
	default:
		goleak.VerifyTestMain(m)
	}
}

// newStore is a directory that must verify when the test ends.
func newStore(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	t.Cleanup(func() { mustVerify(t, dir) })
	return dir
}

func mustVerify(t testing.TB, dir string) Report {
	t.Helper()
	r, err := Verify(dir)
	if err != nil {
		t.Errorf("verify: %v", err)
	}
	for _, p := range slices.Concat(r.Problems, r.Torn) {
		t.Errorf("verify: %v", p)
	}
	return r
}

func mustOpen(t testing.TB, cfg Config) *Writer {
	t.Helper()
	w, err := OpenWriter(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() }) // most tests have closed it
	return w
}

func mustAppend(t testing.TB, w *Writer, recs []xds.Record, bodies ...xds.Body) {
	t.Helper()
	if err := w.Append(recs, bodies); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, dir string) *Reader {
	t.Helper()
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// everything reads all records of all sidecars that are there now.
func everything(t testing.TB, r *Reader, from uint64) (out []xds.Record) {
	t.Helper()
	r.cursor(xds.Sidecar{}, from, true).drain(func(rec xds.Record, err error) bool {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec)
		return true
	})
	return out
}

var web = xds.Sidecar{Node: "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local", Cluster: "web.shop", Mesh: "Kubernetes"}

var day = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// push is the n-th push of id, with bodies that can be told from n.
func push(id xds.Sidecar, n uint64, size int) (xds.Record, []xds.Body) {
	var bodies []xds.Body
	p := &xds.Push{Number: n, Type: xds.ClusterType, Version: fmt.Sprint("v", n), Nonce: fmt.Sprint("n", n), Delta: true}
	for i := range 3 {
		b := xds.NewBody(bytesOf(fmt.Sprintf("%s %d %d ", id.Node, n, i), size))
		bodies = append(bodies, b)
		p.Resources = append(p.Resources, xds.Entry{Name: fmt.Sprintf("outbound|80||svc-%d", i), Digest: b.Digest, Size: size})
	}
	return xds.Record{Time: day.Add(time.Duration(n) * time.Second), Kind: xds.KindPush, Stream: 1, Sidecar: id, Push: p}, bodies
}

func bytesOf(text string, size int) []byte {
	b := []byte(text)
	for x := uint32(len(text)*7919 + size + int(b[len(b)-2])); len(b) < size; x = x*1664525 + 1013904223 {
		b = append(b, byte(x>>24))
	}
	return b
}

// playWriter writes pushes to the directory in the environment until it is killed
// and says on stdout which number each got.
func playWriter() {
	size, _ := strconv.Atoi(os.Getenv("SEGMENT"))
	var n uint64
	w, err := OpenWriter(Config{Dir: os.Getenv("DIR"), SegmentBytes: int64(size), SyncEvery: 10 * time.Millisecond,
		Bases: func() []xds.Record { return []xds.Record{baseOf(n)} }})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	out := bufio.NewWriterSize(os.Stdout, 64)
	for n, _ = w.Last(); ; n++ {
		r, bodies := push(web, n+1, 300+int(n%7)*400)
		recs := []xds.Record{r}
		if err := w.Append(recs, bodies); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Fprintln(out, recs[0].Seq)
		out.Flush() //nolint:errcheck // the parent may have gone
	}
}

// baseOf is the base of web after push n.
func baseOf(n uint64) xds.Record {
	r := xds.Record{Time: day, Kind: xds.KindBase, Sidecar: web, Base: &xds.Base{Push: n}}
	if n == 0 {
		return r
	}
	p, _ := push(web, n, 300+int((n-1)%7)*400)
	t := xds.BaseType{Type: xds.ClusterType}
	for _, e := range p.Push.Resources {
		t.Resources = append(t.Resources, xds.BaseEntry{Name: e.Name, Digest: e.Digest, Held: xds.HeldOffered})
	}
	r.Base.Types = []xds.BaseType{t}
	return r
}

// both is a Log that writes to several.
type both []record.Log

func (b both) Append(recs []xds.Record, bodies []xds.Body) error {
	for _, l := range b {
		if err := l.Append(recs, bodies); err != nil {
			return err
		}
	}
	return nil
}

func (b both) Has(d xds.Digest) bool { return b[len(b)-1].Has(d) }

// importTranscript feeds a recording through a recorder into logs.
func importTranscript(t testing.TB, name string, logs ...record.Log) {
	t.Helper()
	f, err := os.Open(filepath.Join("../../test/recordings", name, "session.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	rec, err := record.New(record.Config{Log: both(logs), Key: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	for s, err := range transcript.Sightings(f, name, func(string) {}) {
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
}

func recordings(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../../test/recordings/*/session.jsonl.gz")
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = filepath.Base(filepath.Dir(f))
	}
	return names
}

// follow reads with Follow until stop says so.
func follow(t testing.TB, ctx context.Context, r *Reader, from uint64, stop func(xds.Record) bool) {
	t.Helper()
	for rec, err := range r.Follow(ctx, xds.Sidecar{}, from) {
		if err != nil {
			t.Error(err)
			return
		}
		if stop(rec) {
			return
		}
	}
}

func contextOf(t testing.TB) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx, cancel
}
