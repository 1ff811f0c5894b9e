package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/xdsproxy/xdsproxy/pkg/judge"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// expectRuleName is the rule of --expect: findings of it are expectations that
// were not met.
const expectRuleName = "expect"

func newExpectRule() judge.StateRule {
	return judge.StateRule{Name: expectRuleName, Finds: "A destination that matters does not end where it should (--expect).", On: true, Severity: xds.High}
}

// rulesFile is the form of --rules.
type rulesFile struct {
	Rules map[string]any `json:"rules"`
}

// readRules gives the rules as a file wants them, all defaults for "". The second
// one is that of expectations.
func readRules(path string) ([]judge.StateRule, judge.StateRule, error) {
	rules := append(judge.StateRules(), newExpectRule())
	last := len(rules) - 1
	if path == "" {
		return rules[:last], rules[last], nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, judge.StateRule{}, openFailure(path, err)
	}
	var file rulesFile
	if err := yaml.UnmarshalStrict(b, &file); err != nil {
		return nil, judge.StateRule{}, rulesFailure(path, err.Error())
	}
	for name, want := range file.Rules {
		i := slices.IndexFunc(rules, func(r judge.StateRule) bool { return r.Name == name })
		if i < 0 {
			return nil, judge.StateRule{}, rulesFailure(path, fmt.Sprintf("there is no rule %q; there are %s", name, ruleNames(rules)))
		}
		if !setRule(&rules[i], want) {
			return nil, judge.StateRule{}, rulesFailure(path, fmt.Sprintf("%s is %v, which is neither on, off nor one of %s", name, want, strings.Join(severityWords(), ", ")))
		}
	}
	return rules[:last], rules[last], nil
}

// setRule takes on, off (which YAML reads as true and false) or a severity.
func setRule(r *judge.StateRule, want any) bool {
	switch v := want.(type) {
	case bool:
		r.On = v
		return true
	case string:
		switch {
		case v == "on" || v == "off":
			r.On = v == "on"
			return true
		case xds.Severity(v).Rank() >= 0:
			r.On, r.Severity, r.Fixed = true, xds.Severity(v), true
			return true
		}
	}
	return false
}

func ruleNames(rules []judge.StateRule) string {
	var out []string
	for _, r := range rules {
		out = append(out, r.Name)
	}
	return strings.Join(out, ", ")
}

func rulesFailure(path, why string) error {
	return Fail(CodeBadRules, why, "rules: {empty-cluster: high, server-first-stall: off}; xdsproxy check --help lists them", "cannot use the rules in %s", path)
}
