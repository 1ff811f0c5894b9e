package record_test

import (
	"strings"
	"testing"

	celv1 "cel.dev/expr"
	xdscore "github.com/cncf/xds/go/xds/core/v3"
	matcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	typev3 "github.com/cncf/xds/go/xds/type/v3"
	oldmatcher "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	celfilter "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	expr "google.golang.org/genproto/googleapis/api/expr/v1alpha1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/xdsproxy/xdsproxy/pkg/record"
)

// kept is what the history holds of a resource.
func kept(t *testing.T, r *anypb.Any) string {
	t.Helper()
	p := newPlay(t, record.Config{})
	p.run("1 open delta\n1 req LDS node=web")
	p.response(respond(t, r))
	p.decodes()
	return p.dump()
}

func matchInput(t *testing.T, m proto.Message) *xdscore.TypedExtensionConfig {
	return &xdscore.TypedExtensionConfig{Name: "visible", TypedConfig: pack(t, m)}
}

func action(t *testing.T) *matcher.Matcher_OnMatch {
	return &matcher.Matcher_OnMatch{OnMatch: &matcher.Matcher_OnMatch_Action{Action: matchInput(t, wrapperspb.String("visible"))}}
}

func single(in *xdscore.TypedExtensionConfig) *matcher.Matcher_MatcherList_Predicate {
	return &matcher.Matcher_MatcherList_Predicate{MatchType: &matcher.Matcher_MatcherList_Predicate_SinglePredicate_{
		SinglePredicate: &matcher.Matcher_MatcherList_Predicate_SinglePredicate{Input: in,
			Matcher: &matcher.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: planted}}}}}}
}

func inTree(in *xdscore.TypedExtensionConfig, on *matcher.Matcher_OnMatch, exact bool) *matcher.Matcher {
	m := &matcher.Matcher_MatcherTree_MatchMap{Map: map[string]*matcher.Matcher_OnMatch{planted: on, planted + "2": on}}
	tree := &matcher.Matcher_MatcherTree{Input: in, TreeType: &matcher.Matcher_MatcherTree_PrefixMatchMap{PrefixMatchMap: m}}
	if exact {
		tree.TreeType = &matcher.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: m}
	}
	return &matcher.Matcher{MatcherType: &matcher.Matcher_MatcherTree_{MatcherTree: tree}}
}

// TestPlantedInMatcherTrees: what a tree compares a credential with is one, and what
// it does on a match is none.
func TestPlantedInMatcherTrees(t *testing.T) {
	for name, hide := range map[string]bool{"authorization": true, "x-auth-token": true, "x-version": false} {
		in := matchInput(t, &matcherv3.HttpRequestHeaderMatchInput{HeaderName: name})
		list := &matcher.Matcher{MatcherType: &matcher.Matcher_MatcherList_{MatcherList: &matcher.Matcher_MatcherList{Matchers: []*matcher.Matcher_MatcherList_FieldMatcher{{
			Predicate: &matcher.Matcher_MatcherList_Predicate{MatchType: &matcher.Matcher_MatcherList_Predicate_NotMatcher{NotMatcher: single(in)}}, OnMatch: action(t)}}}}}
		nested := &matcher.Matcher_OnMatch{OnMatch: &matcher.Matcher_OnMatch_Matcher{Matcher: list}}
		old := &oldmatcher.Matcher{MatcherType: &oldmatcher.Matcher_MatcherTree_{MatcherTree: &oldmatcher.Matcher_MatcherTree{
			Input: &corev3.TypedExtensionConfig{Name: "visible", TypedConfig: pack(t, &matcherv3.HttpRequestQueryParamMatchInput{QueryParam: name})},
			TreeType: &oldmatcher.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &oldmatcher.Matcher_MatcherTree_MatchMap{
				Map: map[string]*oldmatcher.Matcher_OnMatch{planted: {}}}}}}}
		for what, m := range map[string]proto.Message{
			"list": list, "exact": inTree(in, action(t), true), "prefix": inTree(in, action(t), false),
			"nested": inTree(matchInput(t, &matcherv3.HttpRequestHeaderMatchInput{HeaderName: "x-version"}), nested, true), "elder brother": old,
		} {
			r := pack(t, m)
			if what != "elder brother" {
				r = pack(t, &routev3.RouteConfiguration{Name: "visible", VirtualHosts: []*routev3.VirtualHost{{Name: "visible", Matcher: m.(*matcher.Matcher)}}})
			}
			got, sent := kept(t, r), string(r.Value)
			had := strings.Count(sent, planted)
			if what == "nested" {
				had -= 2 // the keys of the outer tree
			}
			switch {
			case !hide && !strings.Contains(got, sent):
				t.Errorf("%s of %s was changed: %q", what, name, got)
			case hide && (strings.Count(got, planted) != strings.Count(sent, planted)-had || strings.Count(got, record.Marker) < had):
				t.Errorf("%s of %s: the history holds %q", what, name, got)
			case strings.Count(got, "visible") < strings.Count(sent, "visible") || !strings.Contains(got, name):
				t.Errorf("%s of %s: more was taken than the secret: %q", what, name, got)
			}
		}
	}
}

func ident(name string) *expr.Expr {
	return &expr.Expr{ExprKind: &expr.Expr_IdentExpr{IdentExpr: &expr.Expr_Ident{Name: name}}}
}

func text(s string) *expr.Expr {
	return &expr.Expr{ExprKind: &expr.Expr_ConstExpr{ConstExpr: &expr.Constant{ConstantKind: &expr.Constant_StringValue{StringValue: s}}}}
}

func call(function string, args ...*expr.Expr) *expr.Expr {
	return &expr.Expr{ExprKind: &expr.Expr_CallExpr{CallExpr: &expr.Expr_Call{Function: function, Args: args}}}
}

func list(es ...*expr.Expr) *expr.Expr {
	return &expr.Expr{ExprKind: &expr.Expr_ListExpr{ListExpr: &expr.Expr_CreateList{Elements: es}}}
}

func on(target *expr.Expr, function string, args ...*expr.Expr) *expr.Expr {
	e := call(function, args...)
	e.GetCallExpr().Target = target
	return e
}

// TestPlantedInExpressions: constants beside a credential's name are taken, those of
// other comparisons in the same expression stay.
func TestPlantedInExpressions(t *testing.T) {
	headers := &expr.Expr{ExprKind: &expr.Expr_SelectExpr{SelectExpr: &expr.Expr_Select{Operand: ident("request"), Field: "headers"}}}
	other := call("_==_", call("_[_]", headers, text("x-visible")), text("visible"))
	for _, name := range []string{"authorization", "X-Api-Key", "x-auth-token"} {
		header := call("_[_]", headers, text(name))
		for what, e := range map[string]*expr.Expr{
			"equal":      call("_==_", header, text(planted)),
			"equal, too": call("_==_", text(planted), header),
			"in":         call("@in", header, list(text(planted), text(planted+"2"))),
			"method":     on(header, "startsWith", text(planted)),
			"inside":     call("_==_", on(header, "lowerAscii"), text(planted)),
			"exists": {ExprKind: &expr.Expr_ComprehensionExpr{ComprehensionExpr: &expr.Expr_Comprehension{IterVar: "k", IterRange: list(text(planted)),
				AccuVar: "r", AccuInit: text("x"), LoopCondition: ident("r"), LoopStep: call("_==_", header, ident("k")), Result: ident("r")}}},
		} {
			e := call("_&&_", other, call("_||_", call("!_", e), other))
			v1 := &celv1.Expr{}
			if b, err := proto.Marshal(e); err != nil || proto.Unmarshal(b, v1) != nil {
				t.Fatal(err)
			}
			for kind, r := range map[string]*anypb.Any{
				"RBAC":    pack(t, filter(t, &httprbacv3.RBAC{Rules: &rbacv3.RBAC{Policies: map[string]*rbacv3.Policy{"visible": {Condition: e}}}})),
				"matcher": pack(t, &matcher.CelMatcher{ExprMatch: &typev3.CelExpression{CelExprParsed: &celv1.ParsedExpr{Expr: v1}}}),
			} {
				got, sent := kept(t, r), string(r.Value)
				if strings.Contains(got, planted) || strings.Count(got, record.Marker) < strings.Count(sent, planted) {
					t.Errorf("%s of %s in %s: the history holds %q", what, name, kind, got)
				}
				if strings.Count(got, "visible") < strings.Count(sent, "visible") || !strings.Contains(got, name) {
					t.Errorf("%s of %s in %s: more was taken than the secret: %q", what, name, kind, got)
				}
			}
		}
	}
	stays := pack(t, filter(t, &httprbacv3.RBAC{Rules: &rbacv3.RBAC{Policies: map[string]*rbacv3.Policy{"visible": {Condition: other}}}}))
	if got := kept(t, stays); !strings.Contains(got, string(stays.Value)) {
		t.Errorf("an expression without a credential was changed: %q", got)
	}
}

// TestPlantedInExpressionText: the same where an expression is text.
func TestPlantedInExpressionText(t *testing.T) {
	for _, s := range []string{
		`request.headers['authorization'] == 'Bearer ` + planted + `' && request.path == '/visible'`,
		`"` + planted + `" != request.headers["x-api-key"] || request.path == "/visible"`,
		`request.headers["x-auth-token"].startsWith("` + planted + `") && request.path == "/visible"`,
		`request.path == "/visible" && request.headers['cookie'] in ['` + planted + `', '` + planted + `2']`,
	} {
		for what, m := range map[string]proto.Message{
			"CelExpression": &matcher.CelMatcher{ExprMatch: &typev3.CelExpression{CelExprString: s}},
			"access log":    &celfilter.ExpressionFilter{Expression: s},
		} {
			if got := kept(t, pack(t, m)); strings.Contains(got, planted) || !strings.Contains(got, "/visible") {
				t.Errorf("%s: %q is kept as %q", what, s, got)
			}
		}
	}
}
