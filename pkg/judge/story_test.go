package judge

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

var update = flag.Bool("update", false, "write what the stories give")

// story is one testdata file: an input, and the events it must give. Its
// comment names kinds that it fires, and kinds that it keeps quiet about.
type story struct {
	name         string
	fires, quiet []xds.EventKind
	archive      *txtar.Archive
	in           Input
}

// storyInput is the JSON of an input.
type storyInput struct {
	Shifts    []xds.Shift
	Changes   []xds.Change
	Drained   []string
	Facts     []Fact
	Uncertain []string
	Node      Node
	Watch     []string // "prefix port"
	Owners    owners
	Earlier   []storyInput // groups before, one minute apart
}

// owners is a View that knows owners by cluster and resolves nothing.
type owners map[string]xds.Owner

func (o owners) Owner(v xds.Verdict) *xds.Owner {
	if x, ok := o[v.Cluster]; ok {
		return &x
	}
	return nil
}

func (o owners) Resolve(netip.AddrPort, netip.Addr, xds.Signal) xds.Verdict { return xds.Verdict{} }

var start = time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)

func (s storyInput) input(t *testing.T, n int) Input {
	at := start.Add(time.Duration(n) * time.Minute)
	in := Input{
		Sidecar: xds.Sidecar{Node: "sidecar~10.0.0.9~web-1.shop~shop.svc.cluster.local"}, Settled: true,
		First: PushRef{Number: uint64(40 + 3*n), Time: at}, Last: PushRef{Number: uint64(42 + 3*n), Time: at.Add(time.Second)},
		Shifts: s.Shifts, Changes: s.Changes, Drained: s.Drained, Facts: s.Facts, Uncertain: s.Uncertain, Node: s.Node,
		Old: s.Owners, New: s.Owners,
	}
	for i := range in.Facts {
		in.Facts[i].Push.Time = at
	}
	for _, w := range s.Watch {
		var prefix string
		var port uint16
		if _, err := fmt.Sscanf(w, "%s %d", &prefix, &port); err != nil {
			t.Fatal(err)
		}
		in.Watch = append(in.Watch, Watch{Prefix: netip.MustParsePrefix(prefix), Port: port})
	}
	return in
}

func stories(t *testing.T) []story {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	var out []story
	for _, f := range files {
		out = append(out, readStory(t, f))
	}
	return out
}

func readStory(t *testing.T, file string) story {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := story{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), archive: a}
	for line := range strings.Lines(string(a.Comment)) {
		word, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "fires":
			s.fires = append(s.fires, xds.EventKind(kind))
		case "quiet":
			s.quiet = append(s.quiet, xds.EventKind(kind))
		}
	}
	var raw storyInput
	if err := json.Unmarshal(a.Files[0].Data, &raw); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var m Memory
	for i, e := range raw.Earlier {
		in := e.input(t, i)
		in.Memory = m
		m = Next(in, Judge(in))
	}
	s.in = raw.input(t, len(raw.Earlier))
	s.in.Memory = m
	return s
}

// TestStories holds every story to what it says.
func TestStories(t *testing.T) {
	for _, s := range stories(t) {
		t.Run(s.name, func(t *testing.T) {
			evs := Judge(s.in)
			got := tell(evs)
			if *update {
				s.archive.Files[1].Data = []byte(got)
				if err := os.WriteFile("testdata/"+s.name+".txtar", txtar.Format(s.archive), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if d := cmp.Diff(string(s.archive.Files[1].Data), got); d != "" {
				t.Error(d)
			}
			for _, k := range s.fires {
				if !has(evs, k) {
					t.Errorf("no %s", k)
				}
			}
			for _, k := range s.quiet {
				if has(evs, k) {
					t.Errorf("a %s", k)
				}
			}
			for _, e := range evs {
				wellFormed(t, e)
			}
		})
	}
}

func has(evs []xds.Event, k xds.EventKind) bool {
	return slices.ContainsFunc(evs, func(e xds.Event) bool { return e.Kind == k })
}

// tell is events as a story shows them.
func tell(evs []xds.Event) string {
	var b strings.Builder
	for _, e := range evs {
		fmt.Fprintf(&b, "%s %s: %s\n", e.Severity, e.Kind, e.Summary)
		if e.Owner != nil {
			fmt.Fprintf(&b, "  owner %s %s in %s\n", e.Owner.Kind, e.Owner.Host, e.Owner.Namespace)
		}
		if e.Witness != "" {
			fmt.Fprintf(&b, "  witness %s\n", e.Witness)
		}
		for _, r := range e.Remedies {
			fmt.Fprintf(&b, "  - %s\n    %s\n", r.Title, r.Why)
			for line := range strings.Lines(r.YAML) {
				b.WriteString("      " + line)
			}
		}
	}
	return b.String()
}

// wellFormed checks what holds for every event.
func wellFormed(t *testing.T, e xds.Event) {
	t.Helper()
	if e.APIVersion != xds.APIVersion || len(e.ID) != 16 || len(e.Group) != 16 || e.Revision != 1 || e.Sidecar != "web-1.shop" {
		t.Errorf("%s: envelope %+v", e.Kind, e)
	}
	if e.Cells == nil || e.Remedies == nil || e.Time.IsZero() || !strings.HasPrefix(e.Push, "#") || len(e.Pushes) != 2 {
		t.Errorf("%s: nil lists, or no push or time: %+v", e.Kind, e)
	}
	if e.Summary == "" || strings.Contains(e.Summary, "\n") {
		t.Errorf("%s: summary %q", e.Kind, e.Summary)
	}
	for _, r := range e.Remedies {
		var doc map[string]any
		if err := yaml.UnmarshalStrict([]byte(r.YAML), &doc); err != nil {
			t.Errorf("%s: remedy %q: %v", e.Kind, r.Title, err)
		}
		if r.Title == "" || r.Why == "" || strings.Contains(r.Title+r.Why, "  ") {
			t.Errorf("%s: remedy %+v", e.Kind, r)
		}
	}
}

// TestEveryKindHasItsStories: one that fires it, and one that looks alike and
// must not.
func TestEveryKindHasItsStories(t *testing.T) {
	fires, quiet := map[xds.EventKind]bool{}, map[xds.EventKind]bool{}
	for _, s := range stories(t) {
		for _, k := range s.fires {
			fires[k] = true
		}
		for _, k := range s.quiet {
			quiet[k] = true
		}
	}
	for _, k := range xds.EventKinds {
		if !fires[k] {
			t.Errorf("no story fires %s", k)
		}
		if !quiet[k] {
			t.Errorf("no story is quiet about %s", k)
		}
	}
}
