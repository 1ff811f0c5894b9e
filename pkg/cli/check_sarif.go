package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// The parts of SARIF 2.1.0 (OASIS) that findings need.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID            string      `json:"id"`
		Short         sarifText   `json:"shortDescription"`
		Configuration sarifConfig `json:"defaultConfiguration"`
	}
	sarifConfig struct {
		Enabled bool   `json:"enabled"`
		Level   string `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		Properties   sarifProperties   `json:"properties"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifLogical struct {
		Name          string `json:"name"`
		QualifiedName string `json:"fullyQualifiedName"`
		Kind          string `json:"kind"`
	}
	// sarifProperties is a property bag: the finding as -o json has it, in short.
	sarifProperties struct {
		Severity xds.Severity `json:"severity"`
		Sidecar  string       `json:"sidecar"`
		At       string       `json:"at"`
		Ports    string       `json:"ports,omitempty"`
		Witness  string       `json:"witness,omitempty"`
		Owner    *xds.Owner   `json:"owner,omitempty"`
	}
)

const (
	sarifSchema = "https://json.schemastore.org/sarif-2.1.0.json"
	projectURI  = "https://github.com/xdsproxy/xdsproxy"
)

// sarifLevel is a severity in SARIF's terms.
func sarifLevel(s xds.Severity) string {
	switch s {
	case xds.Critical, xds.High:
		return "error"
	case xds.Medium:
		return "warning"
	}
	return "note"
}

func sarifOf(r CheckResult, version string) sarifLog {
	run := sarifRun{Tool: sarifTool{Driver: sarifDriver{Name: "xdsproxy", Version: version, InformationURI: projectURI}}, Results: []sarifResult{}}
	for _, x := range r.rules {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{ID: x.Name, Short: sarifText{x.Finds}, Configuration: sarifConfig{Enabled: x.On, Level: sarifLevel(x.Severity)}})
	}
	for _, f := range r.Findings {
		run.Results = append(run.Results, r.sarifResult(f))
	}
	return sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}}
}

func (r CheckResult) sarifResult(f judge.Finding) sarifResult {
	text := f.Sidecar + ": " + f.Summary
	for _, m := range f.Remedies {
		text += "\n- " + m.Title
	}
	res := xds.Resource{Type: xds.ListenerType, Name: f.Witness}
	if f.Resource != nil {
		res = *f.Resource
	}
	return sarifResult{
		RuleID: f.Rule, RuleIndex: slices.IndexFunc(r.rules, func(x judge.StateRule) bool { return x.Name == f.Rule }),
		Level: sarifLevel(f.Severity), Message: sarifText{text},
		Locations: []sarifLocation{{
			Physical: sarifPhysical{sarifArtifact{fileURI(r.source)}},
			Logical:  []sarifLogical{{Name: res.Name, QualifiedName: f.Sidecar + "/" + xds.ShortType(res.Type) + "/" + res.Name, Kind: "resource"}},
		}},
		Fingerprints: map[string]string{"xdsproxy/v1": fingerprint(f.Rule, f.Sidecar, res.Type, res.Name, f.Ports, f.Witness)},
		Properties:   sarifProperties{Severity: f.Severity, Sidecar: f.Sidecar, At: f.At, Ports: f.Ports, Witness: f.Witness, Owner: f.Owner},
	}
}

// fileURI is a path as a URI reference.
func fileURI(path string) string {
	u := url.URL{Path: filepath.ToSlash(path)}
	if filepath.IsAbs(path) {
		u.Scheme = "file"
	}
	return u.String()
}

// fingerprint is the same for a finding that stays, whatever its revision.
func fingerprint(what ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(what, "\x00")))
	return hex.EncodeToString(sum[:8])
}
