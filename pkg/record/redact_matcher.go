package record

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of xds.type.matcher.v3.Matcher, and of its elder brother
// envoy.config.common.matcher.v3.Matcher: SinglePredicate and MatcherTree begin with
// their input, a TypedExtensionConfig.
const (
	matchInput = 1
	treeExact  = 2
	treePrefix = 3
	treeCustom = 4

	extensionConfig = 2 // typed_config of a TypedExtensionConfig
)

// secretInput reports whether what is compared is the value of a credential: a
// header, trailer or query parameter of such a name. All inputs of that kind
// (envoy/type/matcher/v3/http_inputs.proto) have the name in field 1.
func secretInput(b []byte) bool {
	typ, input, err := parseAny(lookup(lookup(b, matchInput), extensionConfig))
	return err == nil && strings.HasSuffix(typ, "MatchInput") && secretHeader(string(lookup(input, 1)))
}

// treeKeys redacts what a MatcherTree compares its input with: the keys of its maps.
// What is done on a match stays.
func (r *redactor) treeKeys(b []byte) []byte {
	out, err := rewrite(b, func(f field) ([]byte, bool) {
		switch {
		case !f.bytes():
			return nil, false
		case f.num == treeExact || f.num == treePrefix:
			return r.mapKeys(f.val), true
		case f.num == treeCustom:
			return r.anySecret(f.val), true // the same two fields: a name and a value
		}
		return nil, false
	})
	return r.outcome(b, out, err, true)
}

// mapKeys marks the keys of a map in field 1.
func (r *redactor) mapKeys(b []byte) []byte {
	out, err := rewrite(b, func(entry field) ([]byte, bool) {
		if entry.num != 1 || !entry.bytes() {
			return nil, false
		}
		safe, err := rewrite(entry.val, func(f field) ([]byte, bool) {
			if f.num != 1 || !f.bytes() || len(f.val) == 0 {
				return nil, false
			}
			return r.mark(f.val), true
		})
		return r.outcome(entry.val, safe, err, true), true
	})
	return r.outcome(b, out, err, true)
}

// Field numbers of cel.expr.Expr, which google.api.expr.v1alpha1.Expr shares, and of
// what it is made of.
const (
	exprConst         = 3
	exprSelect        = 5
	exprCall          = 6
	exprList          = 7
	exprStruct        = 8
	exprComprehension = 9

	constString = 6
	constBytes  = 7

	callFunction = 2
	callArgs     = 3
)

// exprParts are the fields of the parts of an expression that hold expressions, or
// (entries of a struct) messages with such fields.
var exprParts = map[protowire.Number][]protowire.Number{
	exprSelect: {1}, exprCall: {1, callArgs}, exprList: {1}, exprStruct: {2}, exprComprehension: {2, 4, 5, 6, 7},
}

// expression redacts an expression (CEL): where it speaks of a credential by name,
// request.headers["authorization"], what stands beside it in the same comparison is
// one. Operands of && || ! and ?: are comparisons of their own.
func (r *redactor) expression(b []byte, depth int) []byte {
	if depth <= 0 {
		return r.whole(b)
	}
	switch function := string(lookup(lookup(b, exprCall), callFunction)); function {
	case "_&&_", "_||_", "!_", "_?_:_", "@not_strictly_false":
	default:
		if namesSecret(b, depth) {
			return r.constants(b, depth)
		}
	}
	return r.operands(b, func(e []byte) []byte { return r.expression(e, depth-1) })
}

// operands rewrites the expressions that an expression is made of.
func (r *redactor) operands(b []byte, f func([]byte) []byte) []byte {
	out, err := rewrite(b, func(part field) ([]byte, bool) {
		nums, ok := exprParts[part.num]
		if !ok || !part.bytes() {
			return nil, false
		}
		if part.num == exprStruct {
			return r.within(part.val, nums, func(entry []byte) []byte { return r.within(entry, []protowire.Number{3, 4}, f) }), true
		}
		return r.within(part.val, nums, f), true
	})
	return r.outcome(b, out, err, true)
}

// within rewrites some fields of b.
func (r *redactor) within(b []byte, nums []protowire.Number, f func([]byte) []byte) []byte {
	out, err := rewrite(b, func(x field) ([]byte, bool) {
		for _, n := range nums {
			if x.num == n && x.bytes() {
				return f(x.val), true
			}
		}
		return nil, false
	})
	return r.outcome(b, out, err, true)
}

// indexName is the constant in the brackets of x["name"], or the name of x.name.
func indexName(b []byte) string {
	if sel := lookup(b, exprSelect); sel != nil {
		return string(lookup(sel, 2))
	}
	call := lookup(b, exprCall)
	if string(lookup(call, callFunction)) != "_[_]" {
		return ""
	}
	return string(lookup(lookup(lookup(call, callArgs), exprConst), constString)) // the last argument
}

func namesSecret(b []byte, depth int) bool {
	if depth <= 0 || secretHeader(indexName(b)) {
		return true
	}
	found := false
	(&redactor{}).operands(b, func(e []byte) []byte {
		found = found || namesSecret(e, depth-1)
		return e
	})
	return found
}

// constants marks every string of an expression but the names in brackets.
func (r *redactor) constants(b []byte, depth int) []byte {
	if depth <= 0 {
		return r.whole(b)
	}
	name := indexName(b)
	b = r.within(b, []protowire.Number{exprConst}, func(c []byte) []byte {
		return r.within(c, []protowire.Number{constString, constBytes}, r.mark)
	})
	return r.operands(b, func(e []byte) []byte {
		if name != "" && string(lookup(lookup(e, exprConst), constString)) == name {
			return e
		}
		return r.constants(e, depth-1)
	})
}
