package cli

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"slices"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// checked is a result with a finding of every severity, and text that markup
// has to escape.
func checked() CheckResult {
	r := CheckResult{
		APIVersion: xds.APIVersion, Checked: []CheckedAt{{"web-1.shop", "#4"}, {"web-2.shop", "#5"}}, failOn: xds.Medium,
		rules: append(judge.StateRules(), newExpectRule()), source: "a dir/session #1.jsonl",
	}
	for i, rule := range r.rules {
		if !rule.On {
			continue
		}
		r.Rules = append(r.Rules, rule.Name)
		r.Findings = append(r.Findings, judge.Finding{
			Rule: rule.Name, Severity: xds.Severities[i%len(xds.Severities)], Sidecar: "web-1.shop", At: "#4", Summary: "a <b> & \"c\" \x01",
			Resource: &xds.Resource{Type: xds.ListenerType, Name: "0.0.0.0_80"}, Remedies: []xds.Remedy{{Title: "do <this>"}},
		})
	}
	r.Findings = append(r.Findings, judge.Finding{Rule: expectRuleName, Severity: xds.High, Sidecar: "web-2.shop", Summary: "x", Witness: "1.2.3.4:5"})
	return r
}

// TestSARIF checks what SARIF 2.1.0 demands of a log (sections 3.13, 3.14, 3.19,
// 3.27 and 3.49) and code scanning beside it: a location in each result.
func TestSARIF(t *testing.T) {
	var log struct {
		Schema  string `json:"$schema"`
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name  string
					Rules []struct {
						ID                   string
						ShortDescription     struct{ Text string }
						DefaultConfiguration struct{ Level string }
					}
				}
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   struct{ Text string }
				Locations []struct {
					PhysicalLocation struct{ ArtifactLocation struct{ URI string } }
				}
				PartialFingerprints map[string]string
			}
		}
	}
	r := checked()
	b, err := json.Marshal(sarifOf(r, "v1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || log.Schema == "" || len(log.Runs) != 1 || log.Runs[0].Tool.Driver.Name != "xdsproxy" {
		t.Fatalf("envelope of %s", b)
	}
	levels := []string{"none", "note", "warning", "error"}
	driver, seen := log.Runs[0].Tool.Driver, map[string]bool{}
	for _, x := range driver.Rules {
		if x.ID == "" || x.ShortDescription.Text == "" || !slices.Contains(levels, x.DefaultConfiguration.Level) {
			t.Errorf("rule %+v", x)
		}
	}
	if got := log.Runs[0].Results; len(got) != len(r.Findings) {
		t.Fatalf("%d results of %d findings", len(got), len(r.Findings))
	}
	for _, x := range log.Runs[0].Results {
		if x.RuleIndex < 0 || driver.Rules[x.RuleIndex].ID != x.RuleID || !slices.Contains(levels, x.Level) || x.Message.Text == "" {
			t.Errorf("result %+v", x)
		}
		if len(x.Locations) != 1 || x.Locations[0].PhysicalLocation.ArtifactLocation.URI != "a%20dir/session%20%231.jsonl" {
			t.Errorf("location of %+v", x)
		}
		print := x.PartialFingerprints["xdsproxy/v1"]
		if len(print) != 16 || seen[print] {
			t.Errorf("fingerprint %q is empty or there twice", print)
		}
		seen[print] = true
	}
}

// TestJUnit reads the report back: counts add up, and only what is bad fails.
func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	r := checked()
	if err := writeJUnit(&b, r); err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, b.String())
	}
	bad := 0
	for _, f := range r.Findings {
		if r.fails(f) {
			bad++
		}
	}
	tests, failures := 0, 0
	for _, s := range got.Suites {
		failed := 0
		for _, k := range s.Cases {
			if k.Failure != nil {
				failed++
			}
		}
		if s.Failures != failed || s.Tests != len(s.Cases) || s.Tests != len(r.Rules) {
			t.Errorf("suite %s says %d of %d, and has %d of %d", s.Name, s.Failures, s.Tests, failed, len(s.Cases))
		}
		tests, failures = tests+s.Tests, failures+s.Failures
	}
	if len(got.Suites) != 2 || got.Tests != tests || got.Failures != failures || failures != bad {
		t.Errorf("%d suites, %d tests (%d), %d failures (%d, want %d)", len(got.Suites), got.Tests, tests, got.Failures, failures, bad)
	}
}

func TestFileURI(t *testing.T) {
	for in, want := range map[string]string{"a b.json": "a%20b.json", "/var/lib/xdsproxy": "file:///var/lib/xdsproxy", "standard input": "standard%20input", "x:y/z": "./x:y/z"} {
		if got := fileURI(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
