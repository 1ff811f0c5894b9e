package record_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func TestPlays(t *testing.T) {
	for _, c := range plays {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(t, record.Config{})
			p.run(c.in)
			p.want(c.out)
		})
	}
}

func TestParkedBound(t *testing.T) {
	p := newPlay(t, record.Config{})
	p.run("1 open\n" + strings.Repeat("1 req CDS\n", 62))
	if n := len(p.records()); n != 0 {
		t.Fatalf("%d records of a stream that is nobody's yet", n)
	}
	p.run("1 req CDS\n1 req CDS node=web")
	got := p.records()
	if len(got) != 65 || !got[63].Sidecar.IsZero() || got[64].Sidecar.Node != "web" {
		t.Errorf("%d records, the last two of %v and %v", len(got), got[63].Sidecar, got[len(got)-1].Sidecar)
	}
}

func TestAnswersParkedBound(t *testing.T) {
	p := newPlay(t, record.Config{})
	p.run("1 open\n1 req CDS node=web")
	for i := range 65 {
		p.line(fmt.Sprintf("1 req CDS nonce=x%d", i))
	}
	got := p.records()
	if len(got) != 3 || got[2].Answer == nil || got[2].Answer.Nonce != "x0" || got[2].Answer.Push != 0 {
		t.Errorf("65 answers without a push gave %d records", len(got))
	}
}

func TestResume(t *testing.T) {
	web := xds.Sidecar{Node: "web"}
	p := newPlay(t, record.Config{Pushes: map[xds.Sidecar]uint64{web: 41}, StreamOffset: 7})
	p.run("1 open\n1 req CDS node=web\n1 push CDS n1 a=1\n1 req CDS nonce=n1")
	p.want("web 8 open\nweb 8 request CDS\nweb 8 push #42 CDS n1 a=1\nweb 8 answer #42 CDS n1")
	if n := p.rec.LastStream(); n != 8 {
		t.Errorf("last stream %d, want 8", n)
	}
}

// A file's own numbers stay, unless the history it is put behind has them.
func TestNumbersOfAFile(t *testing.T) {
	for before, want := range map[uint64]string{0: "#5 #6 #7", 4: "#5 #6 #7", 5: "#6 #7 #8", 9: "#10 #11 #12"} {
		p := newPlay(t, record.Config{Pushes: map[xds.Sidecar]uint64{{Node: "web"}: before}})
		p.run("1 open\n1 req CDS node=web")
		var got []string
		for i, nonce := range []string{"n5", "n6", "n7"} {
			s := p.sighting(strings.Fields("1 push CDS "+nonce+" a=1"), "")
			s.Push = uint64(5 + i)
			a := p.sighting(strings.Fields("1 req CDS nonce="+nonce), "")
			a.Push = s.Push
			for _, x := range []xds.Sighting{s, a} {
				if err := p.rec.Sight(x); err != nil {
					t.Fatal(err)
				}
			}
			rs := p.records()
			push, answer := rs[len(rs)-2].Push.Number, rs[len(rs)-1].Answer.Push
			if push != answer {
				t.Errorf("push #%d has an answer to #%d", push, answer)
			}
			got = append(got, fmt.Sprintf("#%d", push))
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("behind #%d: %s, want %s", before, g, want)
		}
	}
}

func TestDebugIsNotKept(t *testing.T) {
	p := newPlay(t, record.Config{})
	p.run("1 open\n1 req CDS node=web")
	m, err := record.Split(str(str(nil, 4, "istio.io/debug/syncz"), 2, string(anyOf(xds.ClusterType, "a", "everything"))))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.rec.Sight(xds.Sighting{Kind: xds.SawResponse, Stream: 1, Msg: m}); err != nil {
		t.Fatal(err)
	}
	if e := p.records()[2].Push.Resources[0]; e.State != xds.EntryTooLarge || p.log.Has(e.Digest) {
		t.Errorf("a debug answer is kept: %+v", e)
	}
}

// Known is called by observers while the recorder works.
func TestKnownConcurrently(t *testing.T) {
	p := newPlay(t, record.Config{KnownBytes: 8192})
	p.run("1 open\n1 req CDS node=web")
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := range 500 {
				p.rec.Known(xds.Key{1, byte(i)})
			}
		})
	}
	for i := range 200 {
		raw := anyOf(xds.ClusterType, "a", fmt.Sprint(i))
		if err := p.rec.Sight(p.chunk("n", xds.Chunk{Key: xds.Key{1, byte(i)}, Raw: raw})); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

func TestConnectionWide(t *testing.T) {
	p := newPlay(t, record.Config{})
	p.run("1 open\n1 req CDS node=web\n2 open\n2 req CDS node=db")
	for _, s := range []xds.Sighting{{Kind: xds.SawGap, Conn: 1, Reason: "HPACK"}, {Kind: xds.SawGap, Conn: 9, Reason: "of nobody"},
		{Kind: xds.SawClose, Conn: 1, Close: &xds.Close{By: "client"}}} {
		if err := p.rec.Sight(s); err != nil {
			t.Fatal(err)
		}
	}
	p.want("web 1 open\nweb 1 request CDS\ndb 2 open\ndb 2 request CDS\nweb 1 gap HPACK\ndb 2 gap HPACK\n? 0 gap of nobody\nweb 1 close\ndb 2 close")
}

// chunk returns a sighting of one push with one keyed chunk.
func (p *play) chunk(nonce string, c xds.Chunk) xds.Sighting {
	return xds.Sighting{Kind: xds.SawResponse, Time: p.now, Stream: 1, Conn: 1,
		Msg: &xds.Message{Envelope: str(str(nil, 4, xds.ClusterType), 5, nonce), Chunks: []xds.Chunk{c}}}
}

func TestKnown(t *testing.T) {
	p := newPlay(t, record.Config{})
	p.run("1 open\n1 req CDS node=web")
	key := xds.Key{1}
	raw := anyOf(xds.ClusterType, "a", "1")
	p.log.down = true
	if err := p.rec.Sight(p.chunk("n1", xds.Chunk{Key: key, Raw: raw, Size: len(raw)})); err == nil {
		t.Fatal("no error from a log that fails")
	}
	if p.rec.Known(key) {
		t.Error("a key is known though its body was not taken")
	}
	p.log.down = false
	for i, c := range []xds.Chunk{{Key: key, State: xds.ChunkKnown, Name: "a"}, {Key: key, Raw: raw}, {Key: key, State: xds.ChunkKnown},
		{State: xds.ChunkBodyless, Name: "b", Size: 5}, {State: xds.ChunkTooLarge, Name: "c", Size: 9, Sum: xds.Digest{1}}} {
		if err := p.rec.Sight(p.chunk(fmt.Sprint("m", i), c)); err != nil {
			t.Fatal(err)
		}
	}
	if !p.rec.Known(key) {
		t.Error("a key is not known after its body was taken")
	}
	p.want(`web 1 open
		web 1 request CDS
		? 0 gap writing failed: no space left (1 lost)
		web 1 push #2 CDS m0 a=(bodyless)
		web 1 push #3 CDS m1 a=1
		web 1 push #4 CDS m2 a=1
		web 1 push #5 CDS m3 b=(bodyless)
		web 1 push #6 CDS m4 c=(too large)`)
}

func TestKnownIsBounded(t *testing.T) {
	p := newPlay(t, record.Config{KnownBytes: 4096})
	p.run("1 open\n1 req CDS node=web")
	raw := anyOf(xds.ClusterType, "a", "1")
	for i := range 100 {
		if err := p.rec.Sight(p.chunk("n", xds.Chunk{Key: xds.Key{1, byte(i)}, Raw: raw})); err != nil {
			t.Fatal(err)
		}
	}
	if p.rec.Known(xds.Key{1, 0}) || !p.rec.Known(xds.Key{1, 99}) {
		t.Error("the oldest key is still known, or the newest is not")
	}
}

func TestClosedRecorder(t *testing.T) {
	p := newPlay(t, record.Config{})
	p.run("1 open\nend")
	p.want("? 1 open")
	if err := p.rec.Sight(xds.Sighting{}); err == nil {
		t.Error("a closed recorder takes sightings")
	}
	if err := p.rec.Advance(time.Time{}); err == nil {
		t.Error("a closed recorder advances")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, cfg := range []record.Config{{}, {Log: &record.Memory{}, Opaque: "base64"}} {
		if _, err := record.New(cfg); err == nil {
			t.Errorf("New(%+v) took it", cfg)
		}
	}
}
