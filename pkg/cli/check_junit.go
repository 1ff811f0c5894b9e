package cli

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
)

// The parts of JUnit's XML that CI systems read.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes one suite per sidecar and in it one case per rule: it fails
// when the rule found something at least as severe as --fail-on.
func writeJUnit(w io.Writer, r CheckResult) error {
	all := junitSuites{Name: "xdsproxy check"}
	for _, c := range r.Checked {
		s := junitSuite{Name: c.Sidecar + " at " + c.At}
		for _, rule := range r.Rules {
			k := r.junitCase(c.Sidecar, rule)
			s.Cases = append(s.Cases, k)
			s.Tests++
			if k.Failure != nil {
				s.Failures++
			}
		}
		all.Suites = append(all.Suites, s)
		all.Tests, all.Failures = all.Tests+s.Tests, all.Failures+s.Failures
	}
	b, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the output: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s%s\n", xml.Header, b); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	return nil
}

func (r CheckResult) junitCase(sidecar, rule string) junitCase {
	k := junitCase{Class: sidecar, Name: rule}
	var bad, rest []judge.Finding
	for _, f := range r.Findings {
		switch {
		case f.Sidecar != sidecar || f.Rule != rule:
		case r.fails(f):
			bad = append(bad, f)
		default:
			rest = append(rest, f)
		}
	}
	k.Out = junitText(rest)
	if len(bad) > 0 {
		k.Failure = &junitFailure{Type: string(bad[0].Severity), Message: bad[0].Summary, Text: junitText(bad)}
		if len(bad) > 1 {
			k.Failure.Message += fmt.Sprintf(" (and %d more)", len(bad)-1)
		}
	}
	return k
}

func junitText(fs []judge.Finding) string {
	var b strings.Builder
	for _, f := range fs {
		fmt.Fprintf(&b, "%s: %s\n", f.Severity, f.Summary)
		for _, m := range f.Remedies {
			fmt.Fprintf(&b, "  - %s\n", m.Title)
		}
	}
	return b.String()
}
