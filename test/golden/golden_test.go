// Package golden holds the cases by which the evaluation of traffic is known to be
// right, each with the events and verdicts that it must give, in full.
package golden

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

var update = flag.Bool("update", false, "write the events that come out into the cases")

// story says what a case looks at.
type story struct {
	// Recording is a transcript, or Dump a config_dump; paths are below test.
	Recording, Dump string
	// Brings are resources of the dump that one change brings, as TYPE NAME: the
	// history of a dump has them in pushes of their own, after all others.
	Brings  []string
	Sidecar string
	// Pushes are the first and the last of which events are wanted.
	Pushes [2]uint64
	// At is the push after which verdicts are asked. Default: the end.
	At *uint64
}

// told is an event without what depends on the run.
type told struct {
	Kind     xds.EventKind   `json:"kind"`
	Severity xds.Severity    `json:"severity"`
	Push     string          `json:"push"`
	Ports    string          `json:"ports"`
	Witness  string          `json:"witness"`
	Summary  string          `json:"summary"`
	Cells    []xds.Cell      `json:"cells"`
	Before   *xds.Side       `json:"before"`
	After    *xds.Side       `json:"after"`
	Owner    *xds.Owner      `json:"owner"`
	Open     xds.Connections `json:"openConnections"`
}

// TestCases holds every case to the events and the verdicts that it states.
// Events are compared in full; -update writes them. Verdicts are written by hand.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("*.txtar")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d cases: %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(f, ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var s story
			if err := yaml.UnmarshalStrict(part(t, a, "story").Data, &s); err != nil {
				t.Fatal(err)
			}
			r, id := s.open(t)
			s.verdicts(t, r, id, string(part(t, a, "verdicts").Data))
			got := s.events(t, r, id)
			want := part(t, a, "events")
			if *update {
				want.Data = got
				if err := os.WriteFile(f, txtar.Format(a), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if d := cmp.Diff(string(want.Data), string(got)); d != "" {
				t.Error(d)
			}
		})
	}
}

func part(t *testing.T, a *txtar.Archive, name string) *txtar.File {
	t.Helper()
	for i := range a.Files {
		if a.Files[i].Name == name {
			return &a.Files[i]
		}
	}
	t.Fatalf("no part %q", name)
	return nil
}

func (s story) open(t *testing.T) (*query.Reader, xds.Sidecar) {
	t.Helper()
	cfg := s.source(t)
	ids, err := cfg.Source.Sidecars()
	if err != nil {
		t.Fatal(err)
	}
	id, err := query.FindSidecar(ids, s.Sidecar, "")
	if err != nil {
		t.Fatal(err)
	}
	return query.New(cfg), id
}

func (s story) source(t *testing.T) query.Config {
	t.Helper()
	f, err := os.Open(filepath.Join("..", s.Recording+s.Dump))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s.Dump == "" {
		src, err := transcript.Read(f, s.Recording, transcript.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return query.Config{Source: src}
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	d, err := configdump.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	m := new(record.Memory)
	if err := m.Append(s.split(t, d), d.Bodies); err != nil {
		t.Fatal(err)
	}
	return query.Config{Source: m, Env: traffic.Env{Static: d.Static, Resolved: d.Resolved, Lost4: d.Lost4}}
}

// split moves the resources that one change brings into pushes of their own, a
// minute after all others: clusters first, then listeners.
func (s story) split(t *testing.T, d *configdump.Dump) []xds.Record {
	t.Helper()
	var out, late []xds.Record
	for i, r := range d.Records {
		if r.Kind != xds.KindPush {
			out = append(out, r)
			continue
		}
		p := *r.Push
		p.Resources = nil
		moved := p
		for _, e := range r.Push.Resources {
			if slices.Contains(s.Brings, xds.ShortType(p.Type)+" "+e.Name) {
				moved.Resources = append(moved.Resources, e)
			} else {
				p.Resources = append(p.Resources, e)
			}
		}
		r.Push = &p
		out = append(out, r)
		if len(moved.Resources) > 0 {
			again := r
			again.Push = &moved
			late = append(late, again, d.Records[i+1])
		}
	}
	return append(out, renumber(t, out, late)...)
}

// renumber gives pushes and their answers the numbers and times that follow.
func renumber(t *testing.T, before, late []xds.Record) []xds.Record {
	t.Helper()
	var last uint64
	for _, r := range before {
		if r.Kind == xds.KindPush {
			last = r.Push.Number
		}
	}
	for i := range late {
		r := &late[i]
		r.Time = r.Time.Add(time.Minute)
		switch r.Kind {
		case xds.KindPush:
			last++
			r.Push.Number, r.Push.Nonce = last, fmt.Sprint("late-", last)
		case xds.KindAnswer:
			a := *r.Answer
			a.Push, a.Nonce = last, fmt.Sprint("late-", last)
			r.Answer = &a
		default:
			t.Fatalf("push %d is followed by a %s", last, r.Kind)
		}
	}
	return late
}

func (s story) events(t *testing.T, r *query.Reader, id xds.Sidecar) []byte {
	t.Helper()
	var out []told
	for e, err := range r.Walk(t.Context(), query.WalkOptions{Sidecars: []xds.Sidecar{id}}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.First < s.Pushes[0] || e.Last > s.Pushes[1] {
			continue
		}
		for _, ev := range e.Events {
			out = append(out, told{ev.Kind, ev.Severity, ev.Push, ev.Ports, ev.Witness, ev.Summary, ev.Cells, ev.Before, ev.After, ev.Owner, ev.Open})
		}
	}
	b, err := yaml.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// verdicts asks for each line: DESTINATION, a signal as KIND or KIND=NAME, and the
// verdict as KIND, inspection, target or reason, and cluster.
func (s story) verdicts(t *testing.T, r *query.Reader, id xds.Sidecar, lines string) {
	t.Helper()
	rev := query.Head
	if s.At != nil {
		rev = query.AtPush(*s.At)
	}
	p, err := r.At(id, rev)
	if err != nil {
		t.Fatal(err)
	}
	view := r.View(p, query.Active)
	for line := range strings.Lines(lines) {
		ask, want, ok := strings.Cut(strings.TrimSpace(line), " -> ")
		f := strings.Fields(ask)
		if !ok || len(f) != 2 {
			t.Fatalf("bad line %q", line)
		}
		dst, err := netip.ParseAddrPort(f[0])
		if err != nil {
			t.Fatal(err)
		}
		v := view.Resolve(dst, r.SourceAddress(p, dst.Addr()), signal(f[1]))
		if got := said(v); got != strings.TrimSpace(want) {
			t.Errorf("%s: %s, want %s", ask, got, want)
		}
	}
}

func signal(word string) xds.Signal {
	kind, name, _ := strings.Cut(word, "=")
	s := xds.Signal{Kind: xds.SignalKind(kind)}
	if s.Kind == xds.TLS {
		s.SNI = name
	} else {
		s.Host = name
	}
	return s
}

func said(v xds.Verdict) string {
	how := v.Inspection + v.Target
	if v.Kind == xds.NoEndpoints {
		how = v.Reason
	}
	return strings.Join(strings.Fields(string(v.Kind)+" "+how+" "+v.Cluster), " ")
}
