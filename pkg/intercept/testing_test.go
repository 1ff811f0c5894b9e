package intercept

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const recordings = "../../test/recordings"

// wireLine is a line of wire.jsonl.
type wireLine struct {
	T     time.Time
	Conn  uint64
	Dir   string
	Event string
	Raw   []byte
}

// sessionLine is a line of session.jsonl.
type sessionLine struct {
	T        time.Time
	Stream   uint64
	Event    string
	Method   string
	Metadata map[string][]string
	Raw      []byte
	By, Code string
}

func readLines[T any](tb testing.TB, path string) []T {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	var all []T
	d := json.NewDecoder(bufio.NewReader(z))
	for d.More() {
		var l T
		if err := d.Decode(&l); err != nil {
			tb.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// wireRecordings are the scenarios whose TCP bytes were kept.
func wireRecordings(tb testing.TB) []string {
	tb.Helper()
	paths, err := filepath.Glob(recordings + "/*/wire.jsonl.gz")
	if err != nil || len(paths) < 19 {
		tb.Fatalf("found %d recordings with TCP bytes, %v", len(paths), err)
	}
	return paths
}

// memory is a Tap that takes everything and knows what it took.
type memory struct {
	mu     sync.Mutex
	seen   []xds.Sighting
	bodies map[xds.Key][]byte
	deaf   bool // knows nothing
	full   bool // takes nothing
}

func (m *memory) Known(k xds.Key) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.bodies[k]
	return ok && !m.deaf
}

func (m *memory) Offer(s xds.Sighting) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return false
	}
	m.seen = append(m.seen, s)
	if m.bodies == nil {
		m.bodies = map[xds.Key][]byte{}
	}
	if s.Msg != nil {
		for _, c := range s.Msg.Chunks {
			if c.State == xds.ChunkRaw {
				m.bodies[c.Key] = c.Raw
			}
		}
	}
	return true
}

func (m *memory) sightings() []xds.Sighting {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]xds.Sighting(nil), m.seen...)
}

func (m *memory) kinds() []xds.SightingKind {
	var ks []xds.SightingKind
	for _, s := range m.sightings() {
		ks = append(ks, s.Kind)
	}
	return ks
}

// whole puts a message together again: fields in number order.
func (m *memory) whole(tb testing.TB, msg *xds.Message, response bool) []byte {
	tb.Helper()
	if !response {
		return msg.Envelope
	}
	var out []byte
	rest := msg.Envelope
	for len(rest) > 0 {
		num, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			tb.Fatalf("envelope: %v", protowire.ParseError(n))
		}
		if num > fieldResources {
			break
		}
		out, rest = append(out, rest[:n]...), rest[n:]
	}
	for _, c := range msg.Chunks {
		raw := c.Raw
		if c.State == xds.ChunkKnown {
			raw = m.bodies[c.Key]
		}
		if c.State > xds.ChunkKnown || len(raw) != c.Size {
			tb.Fatalf("chunk %v: state %d, %d of %d bytes", c.Key, c.State, len(raw), c.Size)
		}
		out = protowire.AppendTag(out, fieldResources, protowire.BytesType)
		out = protowire.AppendBytes(out, raw)
	}
	return append(out, rest...)
}

func newTestObserver(tb testing.TB, tap Tap) *Observer {
	tb.Helper()
	o, err := NewObserver(ObserverConfig{Tap: tap})
	if err != nil {
		tb.Fatal(err)
	}
	return o
}
