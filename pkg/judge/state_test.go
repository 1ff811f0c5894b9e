package judge_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// A stateStory is a txtar file: resources that a sidecar holds ("active"), what
// else it acknowledged ("accepted"), what it rejects, and the findings. Its
// comment names rules that fire and rules that keep quiet; "base blocked" puts
// the listener and the clusters of REGISTRY_ONLY under it, "base none" nothing.
type stateStory struct {
	name, base   string
	fires, quiet []string
	archive      *txtar.Archive
}

const stateStories = "testdata/state/*.txtar"

func readStateStories(t *testing.T) []stateStory {
	t.Helper()
	files, err := filepath.Glob(stateStories)
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	var out []stateStory
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := stateStory{name: f, base: "passthrough", archive: a}
		for line := range strings.Lines(string(a.Comment)) {
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch word {
			case "fires":
				s.fires = append(s.fires, strings.Fields(rest)...)
			case "quiet":
				s.quiet = append(s.quiet, strings.Fields(rest)...)
			case "base":
				s.base = rest
			}
		}
		out = append(out, s)
	}
	return out
}

func (s stateStory) file(name string) *txtar.File {
	for i := range s.archive.Files {
		if s.archive.Files[i].Name == name {
			return &s.archive.Files[i]
		}
	}
	return &txtar.File{}
}

// held makes snapshots of resources in YAML.
type held struct{ bodies map[xds.Digest][]byte }

func (h held) add(t *testing.T, s *state.Snapshot, text []byte) *state.Snapshot {
	t.Helper()
	var list []any
	if err := yaml.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	for _, item := range list {
		j, err := yaml.Marshal(item)
		if err != nil {
			t.Fatal(err)
		}
		if j, err = yaml.YAMLToJSON(j); err != nil {
			t.Fatal(err)
		}
		var a anypb.Any
		if err := protojson.Unmarshal(j, &a); err != nil {
			t.Fatalf("%v in %s", err, j)
		}
		s = s.With(a.TypeUrl, resourceName(t, item), h.keep(t, &a))
	}
	return s
}

func resourceName(t *testing.T, item any) string {
	t.Helper()
	m, _ := item.(map[string]any)
	for _, key := range []string{"name", "clusterName"} {
		if n, ok := m[key].(string); ok {
			return n
		}
	}
	t.Fatalf("a resource without a name: %v", item)
	return ""
}

func (h held) keep(t *testing.T, a *anypb.Any) xds.Digest {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	d := xds.DigestOf(b)
	h.bodies[d] = b
	return d
}

func (s stateStory) state(t *testing.T) judge.State {
	t.Helper()
	h := held{bodies: map[xds.Digest][]byte{}}
	var snap *state.Snapshot
	if s.base != "none" {
		base, err := os.ReadFile("testdata/state/base-" + s.base + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		snap = h.add(t, snap, base)
	}
	snap = h.add(t, snap, s.file("active").Data)
	accepted := h.add(t, snap, s.file("accepted").Data)
	cache := decode.New(func(d xds.Digest) ([]byte, bool) { b, ok := h.bodies[d]; return b, ok }, 1<<20)
	engine := traffic.NewEngine(cache)
	id := xds.Sidecar{Node: "sidecar~10.0.0.9~web-1.shop~shop.svc.cluster.local"}
	st := judge.State{
		Sidecar: id, Node: judge.NodeOf(id, &corev3.Node{Id: id.Node}), Snapshot: snap, Accepted: accepted, Cache: cache,
		View: engine.View(snap, traffic.Env{Istio: true}), Refs: engine.Refs,
	}
	if err := yaml.Unmarshal(s.file("rejected").Data, &st.Rejected); err != nil {
		t.Fatal(err)
	}
	return st
}

// tellFindings is findings as a story shows them.
func tellFindings(fs []judge.Finding) string {
	var b strings.Builder
	for _, f := range fs {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Severity, f.Rule, f.Summary)
		if f.Resource != nil {
			fmt.Fprintf(&b, "  %s %s\n", xds.ShortType(f.Resource.Type), f.Resource.Name)
		}
		if f.Ports != "" {
			fmt.Fprintf(&b, "  port %s\n", f.Ports)
		}
		if f.Witness != "" {
			fmt.Fprintf(&b, "  witness %s\n", f.Witness)
		}
		if f.Owner != nil {
			fmt.Fprintf(&b, "  owner %s %s in %q\n", f.Owner.Kind, f.Owner.Host, f.Owner.Namespace)
		}
		for _, r := range f.Remedies {
			fmt.Fprintf(&b, "  - %s\n", r.Title)
		}
	}
	return b.String()
}

// TestStateStories holds every story to what it says.
func TestStateStories(t *testing.T) {
	rules := judge.StateRules()
	for i := range rules {
		rules[i].On = true
	}
	for _, s := range readStateStories(t) {
		t.Run(strings.TrimSuffix(filepath.Base(s.name), ".txtar"), func(t *testing.T) {
			fs := judge.CheckState(s.state(t), rules)
			want := s.file("want")
			if flag.Lookup("update").Value.String() == "true" {
				want.Data = []byte(tellFindings(fs))
				if err := os.WriteFile(s.name, txtar.Format(s.archive), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if d := cmp.Diff(string(want.Data), tellFindings(fs)); d != "" {
				t.Error(d)
			}
			for _, r := range rules {
				found := slices.ContainsFunc(fs, func(f judge.Finding) bool { return f.Rule == r.Name })
				if found && slices.Contains(s.quiet, r.Name) || !found && slices.Contains(s.fires, r.Name) {
					t.Errorf("%s: found %v", r.Name, found)
				}
			}
			for _, f := range fs {
				wellFormedFinding(t, f)
			}
		})
	}
}

func wellFormedFinding(t *testing.T, f judge.Finding) {
	t.Helper()
	if f.Severity.Rank() < 0 || f.Sidecar != "web-1.shop" || f.Summary == "" || strings.ContainsAny(f.Summary, "\n") || strings.HasSuffix(f.Summary, ",") {
		t.Errorf("%+v", f)
	}
	if f.Remedies == nil || f.Resource == nil {
		t.Errorf("%s: no remedies or no resource: %+v", f.Rule, f)
	}
	for _, r := range f.Remedies {
		var doc map[string]any
		if err := yaml.UnmarshalStrict([]byte(r.YAML), &doc); err != nil || r.Title == "" || r.Why == "" {
			t.Errorf("%s: remedy %+v: %v", f.Rule, r, err)
		}
	}
}

// TestEveryStateRuleHasItsStories: one that fires it, and one that looks alike
// and must not.
func TestEveryStateRuleHasItsStories(t *testing.T) {
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, s := range readStateStories(t) {
		for _, r := range s.fires {
			fires[r] = true
		}
		for _, r := range s.quiet {
			quiet[r] = true
		}
	}
	names := map[string]bool{}
	for _, r := range judge.StateRules() {
		if !fires[r.Name] || !quiet[r.Name] {
			t.Errorf("%s: a story that fires: %v, one that keeps quiet: %v", r.Name, fires[r.Name], quiet[r.Name])
		}
		if r.Finds == "" || r.Severity.Rank() < 0 || names[r.Name] {
			t.Errorf("%s: no sentence, no severity, or there twice", r.Name)
		}
		names[r.Name] = true
	}
	for r := range fires {
		if !names[r] {
			t.Errorf("a story fires %s, which is no rule", r)
		}
	}
}

// A rule that is off finds nothing, and a fixed severity holds for all it finds.
func TestStateRulesAreAdjustable(t *testing.T) {
	for _, s := range readStateStories(t) {
		st := s.state(t)
		for _, name := range s.fires {
			for _, r := range judge.StateRules() {
				if r.Name != name {
					continue
				}
				r.On, r.Severity, r.Fixed = true, xds.Low, true
				for _, f := range judge.CheckState(st, []judge.StateRule{r}) {
					if f.Severity != xds.Low {
						t.Errorf("%s: %s is %s", s.name, name, f.Severity)
					}
				}
				r.On = false
				if got := judge.CheckState(st, []judge.StateRule{r}); len(got) > 0 {
					t.Errorf("%s: %s is off and finds %v", s.name, name, got)
				}
			}
		}
	}
}
