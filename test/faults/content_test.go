package faults

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

const recordings = "../recordings"

// line is one line of a recorded session, or of its TCP bytes.
type line struct {
	T      time.Time `json:"t"`
	Stream uint64    `json:"stream"`
	Conn   uint64    `json:"conn"`
	Event  string    `json:"event"`
	Method string    `json:"method"`
	Dir    string    `json:"dir"`
	Raw    []byte    `json:"raw"`
	Reason string    `json:"reason"`
}

// lines reads session.jsonl.gz or wire.jsonl.gz of a recording.
func lines(tb testing.TB, name, file string) []line {
	tb.Helper()
	all, err := readLines(filepath.Join(recordings, name, file))
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func readLines(path string) ([]line, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var all []line
	for d := json.NewDecoder(bufio.NewReader(z)); d.More(); {
		var l line
		if err := d.Decode(&l); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

const clusterType = "type.googleapis.com/envoy.config.cluster.v3.Cluster"

// cluster is a recorded cluster: its name and the rest of its fields.
type cluster struct {
	name string
	rest []byte
}

// material is what istiod once sent to a large mesh: the clusters of its largest
// push, and the client's first request with its node.
type material struct {
	clusters []cluster
	first    []byte
	err      error
}

var large = sync.OnceValue(func() (m material) {
	all, err := readLines(filepath.Join(recordings, "15-large-sotw", "session.jsonl.gz"))
	if err != nil {
		return material{err: err}
	}
	var biggest []byte
	for _, l := range all {
		if l.Event == "request" && m.first == nil {
			m.first = l.Raw
		}
		if l.Event == "response" && len(l.Raw) > len(biggest) && string(field(l.Raw, 4)) == clusterType {
			biggest = l.Raw
		}
	}
	each(biggest, func(num protowire.Number, v, _ []byte) {
		if num == 2 {
			m.clusters = append(m.clusters, parseCluster(field(v, 2)))
		}
	})
	if len(m.clusters) < 1000 {
		m.err = fmt.Errorf("the large recording has %d clusters", len(m.clusters))
	}
	return m
})

func parseCluster(b []byte) (c cluster) {
	each(b, func(num protowire.Number, v, raw []byte) {
		if num == 1 {
			c.name = string(v)
		} else {
			c.rest = append(c.rest, raw...)
		}
	})
	return c
}

// each calls f with every field of a message: content and all of it.
func each(b []byte, f func(num protowire.Number, content, raw []byte)) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return
		}
		content := b[n : n+m]
		if typ == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(content)
		}
		f(num, content, b[:n+m])
		b = b[n+m:]
	}
}

func field(b []byte, want protowire.Number) (v []byte) {
	each(b, func(num protowire.Number, content, _ []byte) {
		if num == want {
			v = content
		}
	})
	return v
}

func text(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func content(t testing.TB) material {
	t.Helper()
	m := large()
	if m.err != nil {
		t.Fatal(m.err)
	}
	return m
}

// firstRequest is the request for clusters with the node of a real Envoy.
func firstRequest(t testing.TB) []byte {
	node := field(content(t).first, 2)
	b := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), node)
	return text(b, 4, clusterType)
}

// ack accepts the push with this nonce.
func ack(nonce string) []byte { return text(text(text(nil, 1, nonce), 4, clusterType), 5, nonce) }

// cds is a push of the first n recorded clusters, again and again under other
// names where n is more than there are. Each change, of clusters named by
// changed, writes rnd's bytes into a field of it (alt_stat_name, 28).
func cds(t testing.TB, nonce string, n int, change func(i int) string) []byte {
	m := content(t)
	out := text(nil, 1, nonce)
	for i := range n {
		c := m.clusters[i%len(m.clusters)]
		name := c.name
		if k := i / len(m.clusters); k > 0 {
			name = fmt.Sprint(name, ".", k)
		}
		body := append(text(nil, 1, name), c.rest...)
		if change != nil {
			if s := change(i); s != "" {
				body = text(body, 28, s)
			}
		}
		any := protowire.AppendBytes(protowire.AppendTag(text(nil, 1, clusterType), 2, protowire.BytesType), body)
		out = protowire.AppendBytes(protowire.AppendTag(out, 2, protowire.BytesType), any)
	}
	return text(text(out, 4, clusterType), 5, nonce)
}

// noise is n bytes of text that cannot be compressed below three quarters.
func noise(rnd *rand.Rand, n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rnd.IntN(len(letters))]
	}
	return string(b)
}

// fresh is a change that makes every cluster new, by pad bytes each.
func fresh(rnd *rand.Rand, pad int) func(int) string {
	return func(int) string { return noise(rnd, pad) }
}
