package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// expectation is one item of --expect: where a destination should end.
type expectation struct {
	Destination string          `json:"destination"`
	Source      string          `json:"source"`
	Sidecar     string          `json:"sidecar"` // none: every one that is checked
	Signal      *expectedSignal `json:"signal"`  // none: every class of signals
	Verdict     xds.VerdictKind `json:"verdict"`
	Cluster     string          `json:"cluster"` // none: whatever it is

	dst    netip.AddrPort
	from   netip.Addr
	id     xds.Sidecar // of Sidecar
	number int
}

// expectedSignal is a signal, or its kind alone as a word.
type expectedSignal struct{ xds.Signal }

func (s *expectedSignal) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &s.Kind)
	}
	return strict(b, &s.Signal)
}

func strict(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

// readExpectations reads JSON lines or a YAML (or JSON) list.
func readExpectations(app *App, path string) ([]expectation, error) {
	if path == "" {
		return nil, nil
	}
	b, err := readInput(app, path)
	if err != nil {
		return nil, err
	}
	items, err := expectedItems(b)
	if err != nil {
		return nil, expectFailure(path, err.Error())
	}
	if len(items) == 0 {
		return nil, expectFailure(path, "it holds no expectation")
	}
	out := make([]expectation, len(items))
	for i, item := range items {
		if err := strict(item, &out[i]); err != nil {
			return nil, expectFailure(path, fmt.Sprintf("expectation %d: %v", i+1, err))
		}
		if err := out[i].parse(); err != nil {
			return nil, expectFailure(path, fmt.Sprintf("expectation %d: %v", i+1, err))
		}
		out[i].number = i + 1
	}
	return out, nil
}

func readInput(app *App, path string) ([]byte, error) {
	var b []byte
	var err error
	if path == "-" {
		b, err = io.ReadAll(app.Stdin)
	} else {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, openFailure(path, err)
	}
	return b, nil
}

// expectedItems splits a file into its items: a line that starts with { makes JSON
// lines of it, anything else is YAML.
func expectedItems(b []byte) ([]json.RawMessage, error) {
	var out []json.RawMessage
	if t := bytes.TrimSpace(b); len(t) == 0 || t[0] != '{' {
		j, err := yaml.YAMLToJSONStrict(b)
		if err != nil {
			return nil, err
		}
		return out, json.Unmarshal(j, &out)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	for {
		var item json.RawMessage
		switch err := d.Decode(&item); {
		case err == io.EOF: //nolint:errorlint // Decode returns it bare
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("after %d of them: %w", len(out), err)
		}
		out = append(out, item)
	}
}

func (e *expectation) parse() error {
	var err error
	if e.dst, err = parseDestination(e.Destination); err != nil {
		return err
	}
	if e.Source != "" {
		if e.from, err = netip.ParseAddr(e.Source); err != nil {
			return fmt.Errorf("%q is not a source address", e.Source)
		}
	}
	if e.Signal != nil {
		if err := checkSignal(e.Signal.Signal); err != nil {
			return err
		}
	}
	if !slices.Contains(verdictKinds, e.Verdict) {
		return fmt.Errorf("%q is not a verdict; there are %s", e.Verdict, verdictWords())
	}
	return nil
}

// verdictKinds are the kinds that may be expected.
var verdictKinds = []xds.VerdictKind{
	xds.Passthrough, xds.Blocked, xds.Service, xds.NoEndpoints, xds.NoCluster, xds.NoChain, xds.NoRoute,
	xds.Stall, xds.LocalReply, xds.Refused, xds.Pending, xds.Tunnel, xds.Unknown, xds.NotIntercepted,
}

func verdictWords() string {
	var out []string
	for _, k := range verdictKinds {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

func expectFailure(path, why string) error {
	return Fail(CodeBadRules, why, `{"destination":"10.0.0.1:3306","signal":{"kind":"server-first"},"verdict":"passthrough"}`, "cannot use the expectations in %s", path)
}

// know finds the sidecars that expectations name.
func (c *checker) know() error {
	for i, e := range c.expect {
		if e.Sidecar == "" {
			continue
		}
		id, err := c.src.find(e.Sidecar)
		if err != nil {
			return err
		}
		c.expect[i].id = id
	}
	return nil
}

// unmet are the expectations of a sidecar that are not met.
func (c *checker) unmet(p query.Point, view *traffic.View) []judge.Finding {
	var out []judge.Finding
	if !c.expectRule.On {
		return nil
	}
	for _, e := range c.expect {
		if e.Sidecar != "" && e.id != p.Sidecar {
			continue
		}
		for _, v := range c.verdicts(e, p, view) {
			if !e.met(v) {
				out = append(out, c.broken(e, p, v, view))
				break
			}
		}
	}
	return out
}

func (c *checker) verdicts(e expectation, p query.Point, view *traffic.View) []xds.Verdict {
	from := e.from
	if !from.IsValid() {
		from = c.src.read.SourceAddress(p, e.dst.Addr())
	}
	if e.Signal == nil {
		return view.Classes(e.dst, from)
	}
	v := view.Resolve(e.dst, from, e.Signal.Signal)
	if v.Class == nil {
		v.Class = &xds.Class{Kind: e.Signal.Kind}
	}
	return []xds.Verdict{v}
}

func (e expectation) met(v xds.Verdict) bool {
	if v.Kind != e.Verdict {
		return false
	}
	return e.Cluster == "" || v.Cluster == e.Cluster || slices.ContainsFunc(v.Clusters, func(w xds.WeightedCluster) bool { return w.Name == e.Cluster })
}

// broken is the finding for an expectation; v is the first verdict that is another.
func (c *checker) broken(e expectation, p query.Point, v xds.Verdict, view *traffic.View) judge.Finding {
	side := judge.SideOf(v)
	f := judge.Finding{
		Rule: expectRuleName, Severity: c.expectRule.Severity, Sidecar: c.src.label(p.Sidecar), Ports: fmt.Sprint(e.dst.Port()), Witness: e.dst.String(),
		Verdict: &side, Owner: view.Owner(v), Remedies: []xds.Remedy{},
		Summary: fmt.Sprintf("%s (%s) ends at %s, not at %s", e.dst, classText(v.Class), verdictText(v), strings.TrimSpace(string(e.Verdict)+" "+e.Cluster)),
	}
	if v.Class != nil && v.Class.Kind != "" {
		f.Signals = []xds.Class{*v.Class}
	}
	if v.Listener != "" {
		f.Resource = &xds.Resource{Type: xds.ListenerType, Name: v.Listener}
	}
	return f
}
