package record

import (
	"bytes"
	"encoding/hex"
	"slices"
	"sort"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// redactType is one message type: its rules are a run of redactRules.
type redactType struct {
	name  string
	kind  uint8
	first uint16
	count uint16
}

// redactRule says what to do with a field: one of the acts, or go on with the
// type of index act-actTypes.
type redactRule struct {
	num int32
	act uint16
}

const (
	actMark  = iota // all of it is a secret
	actText         // a text that may hold one
	actDrop         // a secret number
	actTypes        // from here on: a type
)

// The types whose contents decide for themselves, not a list of rules.
const (
	kindFields = iota
	kindAny
	kindAnySecret
	kindStruct
	kindStructSecret
	kindValue
	kindValueSecret
	kindList
	kindListSecret
	kindTypedStruct
	kindHeader
	kindMatcher
	kindPredicate
	kindTree
	kindExpression
)

// walkDepth bounds nesting, as Envoy's parser does.
const walkDepth = 100

// opaqueField is the number of an unknown field that carries a mark in the place
// of a whole message, so that the message still decodes, as an empty one.
const opaqueField = protowire.MaxValidNumber

// opaqueMark stands before the digest of a message of an unknown type.
const opaqueMark = "xdsproxy-opaque:"

// typeIndex finds a type by its full name.
func typeIndex(name []byte) (uint16, bool) {
	i := sort.Search(len(redactTypes), func(i int) bool { return redactTypes[i].name >= string(name) })
	if i == len(redactTypes) || redactTypes[i].name != string(name) || bytes.IndexByte(name, '!') >= 0 {
		// A name on the wire never means the variant of a type.
		return 0, false
	}
	return uint16(i), true
}

func (t redactType) rules() []redactRule {
	return redactRules[t.first : int(t.first)+int(t.count)]
}

func (t redactType) rule(num protowire.Number) (uint16, bool) {
	for _, r := range t.rules() {
		if r.num == int32(num) {
			return r.act, true
		}
	}
	return 0, false
}

// secret reports whether a message of the type holds secrets itself.
func (t redactType) secret() bool {
	return t.kind == kindHeader || t.kind == kindExpression || t.kind == kindAnySecret || t.kind == kindStructSecret || slices.ContainsFunc(t.rules(), redactRule.secret)
}

func (r redactRule) secret() bool {
	return r.act == actMark || r.act >= actTypes && strings.HasSuffix(redactTypes[r.act-actTypes].name, "!")
}

// walk redacts message b of type i. Bytes that do not parse stay as they are,
// unless a secret was due or met in them: then none of them stays.
func (r *redactor) walk(i uint16, b []byte, depth int) []byte {
	t := redactTypes[i]
	if depth == 0 {
		return r.broken(t, b, false)
	}
	switch t.kind {
	case kindAny:
		return r.walkAny(b, depth-1)
	case kindAnySecret:
		return r.anySecret(b)
	case kindStruct, kindStructSecret:
		return r.structure(b, structWalk{secret: t.kind == kindStructSecret, depth: depth - 1})
	case kindValue, kindValueSecret:
		return r.value(b, structWalk{secret: t.kind == kindValueSecret, depth: depth - 1})
	case kindList, kindListSecret:
		return r.list(b, structWalk{secret: t.kind == kindListSecret, depth: depth - 1})
	case kindTypedStruct:
		return r.typedStruct(b, depth-1)
	case kindHeader:
		return r.header(b)
	case kindMatcher:
		if act, ok := t.rule(0); ok && secretHeader(string(lookup(b, 1))) {
			return r.walk(act-actTypes, b, depth)
		}
	case kindPredicate:
		if act, ok := t.rule(0); ok && secretInput(b) {
			return r.walk(act-actTypes, b, depth)
		}
	case kindTree:
		if secretInput(b) {
			b = r.treeKeys(b)
		}
	case kindExpression:
		return r.expression(b, depth-1)
	}
	return r.fields(t, b, depth-1)
}

func (r *redactor) fields(t redactType, b []byte, depth int) []byte {
	if t.count == 0 {
		return b
	}
	out, err := rewrite(b, func(f field) ([]byte, bool) {
		act, ok := t.rule(f.num)
		switch {
		case !ok:
			return nil, false
		case act == actDrop:
			return nil, true
		case !f.bytes():
			return nil, false
		case act == actMark:
			return r.mark(f.val), true
		case act == actText:
			return r.textBytes(f.val), true
		}
		return r.walk(act-actTypes, f.val, depth), true
	})
	if err != nil {
		return r.broken(t, b, len(out) > 0)
	}
	return out
}

// broken is for bytes that cannot be searched to their end.
func (r *redactor) broken(t redactType, b []byte, met bool) []byte {
	if !met && !t.secret() {
		return b
	}
	return r.whole(b)
}

// whole replaces all of a message.
func (r *redactor) whole(b []byte) []byte {
	if m, ok := soleMark(b); ok && marked(m) {
		return b
	}
	return sole(r.mark(b))
}

func sole(mark []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, opaqueField, protowire.BytesType), mark)
}

func soleMark(b []byte) ([]byte, bool) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 || num != opaqueField || typ != protowire.BytesType {
		return nil, false
	}
	v, m := protowire.ConsumeBytes(b[n:])
	return v, m == len(b)-n
}

// rewrite copies message b with some fields replaced: f returns the new contents
// of a field and true, or false to leave it. Nil contents take the field out
// where it is not length-delimited. Without a change, b itself is returned. On an
// error, what is returned is not empty only if something had been replaced.
func rewrite(b []byte, f func(field) ([]byte, bool)) ([]byte, error) {
	var out []byte
	changed, at := false, 0
	err := each(b, func(x field) error {
		start := at
		at += len(x.raw)
		v, ok := f(x)
		if !ok || x.bytes() && same(v, x.val) {
			if changed {
				out = append(out, x.raw...)
			}
			return nil
		}
		if !changed {
			out, changed = append(make([]byte, 0, len(b)+64), b[:start]...), true
		}
		if x.bytes() {
			out = protowire.AppendTag(out, x.num, protowire.BytesType)
			out = protowire.AppendBytes(out, v)
		}
		return nil
	})
	if err != nil && changed {
		return append(out, b[at:]...), err // not empty: something was met
	}
	if changed || err != nil {
		return out, err
	}
	return b, nil
}

func same(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || bytes.Equal(a, b))
}

func digestMark(b []byte) []byte {
	if m, ok := soleMark(b); ok && bytes.HasPrefix(m, []byte(opaqueMark)) {
		return b
	}
	d := xds.DigestOf(b)
	return sole(hex.AppendEncode([]byte(opaqueMark), d[:]))
}
