package transcript_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const recordings = "../../test/recordings"

func sessions(t testing.TB) []string {
	t.Helper()
	fs, err := filepath.Glob(recordings + "/*/session.jsonl.gz")
	if err != nil || len(fs) == 0 {
		t.Fatalf("no recordings below %s: %v", recordings, err)
	}
	return fs
}

func read(t testing.TB, path string, cfg transcript.Config) *transcript.Source {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, err := transcript.Read(f, path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// records returns all records of a source in order.
func records(t testing.TB, src interface {
	Sidecars() ([]xds.Sidecar, error)
}) map[xds.Kind]int {
	t.Helper()
	n := map[xds.Kind]int{}
	ids, _ := src.Sidecars()
	for _, id := range ids {
		for r, err := range src.(*transcript.Source).Records(id, 0) {
			if err != nil {
				t.Fatal(err)
			}
			n[r.Kind]++
		}
	}
	return n
}

func TestRecordingsRead(t *testing.T) {
	for _, f := range sessions(t) {
		start := time.Now()
		src := read(t, f, transcript.Config{})
		n := records(t, src)
		ids, _ := src.Sidecars()
		t.Logf("%-26s open %3d request %3d push %4d answer %4d close %3d gap %d  %v %d sidecars", filepath.Base(filepath.Dir(f)),
			n[xds.KindOpen], n[xds.KindRequest], n[xds.KindPush], n[xds.KindAnswer], n[xds.KindClose], n[xds.KindGap], time.Since(start).Round(time.Millisecond), len(ids))
		for _, id := range ids {
			t.Log(id)
		}
	}
}
