// Package redacttable makes the table that pkg/record redacts by: for each
// message type of Envoy's API which fields hold secrets and which have to be
// searched. It links all of that API, so that the recorder need not. Start with
// Generate; gen writes what it returns.
package redacttable

import (
	"bytes"
	"fmt"
	"go/format"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/cncf/xds/go/udpa/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// What a rule says to do with a field; a larger number is the index of the type
// to go on with, counted from there. The names are those of pkg/record.
const (
	actMark = iota
	actText
	actDrop
	actTypes
)

type rule struct {
	num int
	act int    // actMark, actText, actDrop
	to  string // or the type to go on with
}

type node struct {
	name  string
	kind  string
	rules []rule
}

type table struct {
	nodes   map[string]*node
	aliases map[string]string // v2 name -> v3 name
}

// kinds are the types whose contents decide for themselves; the walker knows
// them. A name with ! is the variant of a type in which everything is secret.
var kinds = map[string]string{
	"google.protobuf.Any":              "kindAny",
	"google.protobuf.Any!":             "kindAnySecret",
	"google.protobuf.Struct":           "kindStruct",
	"google.protobuf.Struct!":          "kindStructSecret",
	"google.protobuf.Value":            "kindValue",
	"google.protobuf.Value!":           "kindValueSecret",
	"google.protobuf.ListValue":        "kindList",
	"google.protobuf.ListValue!":       "kindListSecret",
	"udpa.type.v1.TypedStruct":         "kindTypedStruct",
	"xds.type.v3.TypedStruct":          "kindTypedStruct",
	"udpa.type.v1.TypedStruct!":        "kindAnySecret", // the same two fields
	"xds.type.v3.TypedStruct!":         "kindAnySecret",
	"envoy.config.core.v3.HeaderValue": "kindHeader",

	"envoy.config.route.v3.HeaderMatcher":         "kindMatcher",
	"envoy.config.route.v3.QueryParameterMatcher": "kindMatcher",

	"xds.type.matcher.v3.Matcher.MatcherList.Predicate.SinglePredicate":            "kindPredicate",
	"envoy.config.common.matcher.v3.Matcher.MatcherList.Predicate.SinglePredicate": "kindPredicate",
	"xds.type.matcher.v3.Matcher.MatcherTree":                                      "kindTree",
	"envoy.config.common.matcher.v3.Matcher.MatcherTree":                           "kindTree",

	"cel.expr.Expr":                 "kindExpression",
	"google.api.expr.v1alpha1.Expr": "kindExpression",
}

// expressions are fields that hold an expression (CEL) as text.
var expressions = map[string]string{
	"xds.type.v3.CelExpression":                                       "cel_expr_string",
	"envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter": "expression",
	"envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor":      "text",
}

// Generate returns the Go source of the table.
func Generate() ([]byte, error) {
	t := &table{nodes: map[string]*node{}, aliases: map[string]string{}}
	protoregistry.GlobalTypes.RangeMessages(func(mt protoreflect.MessageType) bool {
		t.message(mt.Descriptor())
		return true
	})
	if err := t.extras(); err != nil {
		return nil, err
	}
	if err := t.join(); err != nil {
		return nil, err
	}
	t.prune()
	return t.source()
}

// message adds a type, and what it is made of.
func (t *table) message(m protoreflect.MessageDescriptor) {
	name := string(m.FullName())
	if _, ok := t.nodes[name]; ok {
		return
	}
	n := &node{name: name, kind: kinds[name]}
	t.nodes[name] = n
	if old := previous(m); old != "" {
		if have, ok := t.aliases[old]; !ok || name < have {
			t.aliases[old] = name
		}
	}
	switch n.kind {
	case "kindMatcher", "kindPredicate": // the first rule, of no field, is for the name of a credential
		t.secretMessage(m)
		n.rules = []rule{{to: name + "!"}}
	case "", "kindTree":
	default:
		return
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if r, ok := t.field(m, f); ok {
			n.rules = append(n.rules, r)
		}
	}
}

// previous is the name that a message had in xDS v2.
func previous(m protoreflect.MessageDescriptor) string {
	o, ok := m.Options().(*descriptorpb.MessageOptions)
	if !ok {
		return ""
	}
	v, ok := proto.GetExtension(o, annotations.E_Versioning).(*annotations.VersioningAnnotation)
	if !ok {
		return ""
	}
	return v.GetPreviousMessageType()
}

func (t *table) field(m protoreflect.MessageDescriptor, f protoreflect.FieldDescriptor) (rule, bool) {
	num := int(f.Number())
	if secret(m, f) {
		return t.secretField(f)
	}
	if expressions[string(m.FullName())] == string(f.Name()) {
		return rule{num: num, act: actText}, true
	}
	if f.Message() == nil {
		return rule{}, false
	}
	t.message(f.Message())
	return rule{num: num, to: string(f.Message().FullName())}, true
}

// secretField is the rule for a field of which everything is secret. Numbers
// cannot carry a mark and are dropped, but for enums and switches.
func (t *table) secretField(f protoreflect.FieldDescriptor) (rule, bool) {
	num := int(f.Number())
	switch f.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind:
		return rule{num: num, act: actMark}, true
	case protoreflect.MessageKind, protoreflect.GroupKind:
		t.secretMessage(f.Message())
		return rule{num: num, to: string(f.Message().FullName()) + "!"}, true
	case protoreflect.EnumKind, protoreflect.BoolKind:
		return rule{}, false
	}
	return rule{num: num, act: actDrop}, true
}

// secretMessage adds the variant of a type in which everything is secret but
// names that tell where a secret is kept.
func (t *table) secretMessage(m protoreflect.MessageDescriptor) {
	name := string(m.FullName()) + "!"
	if _, ok := t.nodes[name]; ok {
		return
	}
	n := &node{name: name, kind: kinds[name]}
	t.nodes[name] = n
	if n.kind != "" {
		return
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if slices.Contains(harmless[string(m.FullName())], string(f.Name())) || m.IsMapEntry() && f.Number() == 1 || number(f) {
			continue
		}
		if r, ok := t.secretField(f); ok {
			n.rules = append(n.rules, r)
		}
	}
}

// number: inside a secret message numbers stay, they are versions and sizes.
func number(f protoreflect.FieldDescriptor) bool {
	switch f.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind, protoreflect.GroupKind:
		return false
	}
	return true
}

// join makes each v2 type the v3 one under another name. Fields that only v2 has
// (its number is free in v3) are searched in both.
func (t *table) join() error {
	for _, old := range slices.Sorted(maps.Keys(t.aliases)) {
		now := t.nodes[t.aliases[old]]
		m, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(now.name))
		if err != nil {
			return fmt.Errorf("finding the successor of %s: %w", old, err)
		}
		if native := t.nodes[old]; native != nil {
			for _, r := range native.rules {
				free := m.Descriptor().Fields().ByNumber(protoreflect.FieldNumber(r.num)) == nil
				taken := slices.ContainsFunc(now.rules, func(x rule) bool { return x.num == r.num })
				if free && !taken {
					now.rules = append(now.rules, r)
				}
			}
		}
	}
	for old, now := range t.aliases {
		t.nodes[old] = &node{name: old, kind: t.nodes[now].kind, rules: slices.Clone(t.nodes[now].rules)}
	}
	return nil
}

// prune takes out rules that lead to nothing, until none does.
func (t *table) prune() {
	live := map[string]bool{}
	for again := true; again; {
		again = false
		for name, n := range t.nodes {
			if live[name] {
				continue
			}
			if n.kind != "" || slices.ContainsFunc(n.rules, func(r rule) bool { return r.to == "" || live[r.to] }) {
				live[name], again = true, true
			}
		}
	}
	for _, n := range t.nodes {
		n.rules = slices.DeleteFunc(n.rules, func(r rule) bool { return r.to != "" && !live[r.to] })
		sort.Slice(n.rules, func(i, j int) bool { return n.rules[i].num < n.rules[j].num })
	}
	for name := range t.nodes {
		if !live[name] && strings.Contains(name, "Entry") && t.mapEntry(name) {
			delete(t.nodes, name)
		}
	}
}

func (t *table) mapEntry(name string) bool {
	m, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	return err != nil || m.Descriptor().IsMapEntry()
}

func (t *table) source() ([]byte, error) {
	names := make([]string, 0, len(t.nodes))
	for name := range t.nodes {
		names = append(names, name)
	}
	sort.Strings(names)
	index := map[string]int{}
	for i, name := range names {
		index[name] = i + actTypes
	}
	if len(names)+actTypes > 1<<16-1 {
		return nil, fmt.Errorf("%d types do not fit 16 bits", len(names))
	}
	return format.Source(t.print(names, index))
}

// print writes each list of rules once.
func (t *table) print(names []string, index map[string]int) []byte {
	var types, rules bytes.Buffer
	at := map[string]int{}
	count := 0
	for _, name := range names {
		n := t.nodes[name]
		text := ruleText(n.rules, index)
		if _, ok := at[text]; !ok {
			at[text] = count
			count += len(n.rules)
			rules.WriteString(text)
		}
		kind := n.kind
		if kind == "" {
			kind = "0"
		}
		fmt.Fprintf(&types, "{%q, %s, %d, %d},\n", name, kind, at[text], len(n.rules))
	}
	var b bytes.Buffer
	b.WriteString("// Code generated by internal/gen. DO NOT EDIT.\n\npackage record\n\n")
	fmt.Fprintf(&b, "// redactTypes is sorted by name; a name with ! is the variant of a type in which\n// everything is secret.\nvar redactTypes = [...]redactType{\n%s}\n\n", &types)
	fmt.Fprintf(&b, "var redactRules = [...]redactRule{\n%s}\n", &rules)
	return b.Bytes()
}

func ruleText(rules []rule, index map[string]int) string {
	var b strings.Builder
	for i, r := range rules {
		act := r.act
		if r.to != "" {
			act = index[r.to]
		}
		sep := ", "
		if i == len(rules)-1 {
			sep = ",\n"
		}
		fmt.Fprintf(&b, "{%d, %d}%s", r.num, act, sep)
	}
	return b.String()
}
