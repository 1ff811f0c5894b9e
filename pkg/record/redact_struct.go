package record

import (
	"bytes"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// walkAny redacts what is inside a google.protobuf.Any, by its type URL. Of a type
// that nobody here knows the bytes stay, or their digest only (Opaque). One that
// does not parse may be of any type, Secret too.
func (r *redactor) walkAny(b []byte, depth int) []byte {
	typ, _, err := parseAny(b)
	if err != nil {
		return r.whole(b)
	}
	i, known := typeIndex([]byte(typ[strings.LastIndexByte(typ, '/')+1:]))
	if !known && r.opaque == OpaqueBytes {
		return b
	}
	out, err := rewrite(b, func(f field) ([]byte, bool) {
		switch {
		case f.num != anyValue || !f.bytes():
			return nil, false
		case !known:
			return digestMark(f.val), true
		}
		return r.walk(i, f.val, depth), true
	})
	return r.outcome(b, out, err, false)
}

// outcome is what stays of b after a rewrite: nothing of what does not parse where
// a secret was due, or met.
func (r *redactor) outcome(b, out []byte, err error, secret bool) []byte {
	switch {
	case err == nil:
		return out
	case secret || len(out) > 0:
		return r.whole(b)
	}
	return b
}

// anySecret replaces the value of an Any (or of a TypedStruct), whatever it is.
func (r *redactor) anySecret(b []byte) []byte {
	out, err := rewrite(b, func(f field) ([]byte, bool) {
		if f.num != anyValue || !f.bytes() {
			return nil, false
		}
		return r.whole(f.val), true
	})
	return r.outcome(b, out, err, true)
}

// header redacts a HeaderValue if its key names a credential.
func (r *redactor) header(b []byte) []byte {
	secret := secretHeader(string(lookup(b, 1)))
	out, err := rewrite(b, func(f field) ([]byte, bool) {
		if !secret || f.num != 2 && f.num != 3 || len(f.val) == 0 { // value, raw_value
			return nil, false
		}
		return r.mark(f.val), true
	})
	return r.outcome(b, out, err, true)
}

// secretHeader: the names of headers whose values are credentials.
func secretHeader(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "cookie", "set-cookie", "cookie2", "x-api-key", "api-key", "apikey":
		return true
	}
	for _, part := range []string{"authorization", "token", "secret", "password"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// structWalk is where in a Struct the walk is.
type structWalk struct {
	secret bool // everything here is
	inline bool // inline_string and inline_bytes are: the path speaks of TLS
	depth  int
}

// typedStruct redacts a TypedStruct: configuration as JSON, with the name of its
// type.
func (r *redactor) typedStruct(b []byte, depth int) []byte {
	typ := string(lookup(b, anyType))
	w := structWalk{depth: depth, inline: strings.Contains(strings.ToLower(typ), "tls")}
	if i, ok := typeIndex([]byte(typ[strings.LastIndexByte(typ, '/')+1:])); ok {
		w.inline = w.inline || redactTypes[i].secret()
		w.secret = strings.HasSuffix(redactTypes[i].name, ".Secret")
	}
	out, err := rewrite(b, func(f field) ([]byte, bool) {
		if f.num != anyValue || !f.bytes() {
			return nil, false
		}
		return r.structure(f.val, w), true
	})
	return r.outcome(b, out, err, w.secret)
}

// structure redacts a google.protobuf.Struct by the names of its fields.
func (r *redactor) structure(b []byte, w structWalk) []byte {
	if w.depth <= 0 {
		return r.whole(b)
	}
	w.depth--
	pair := secretPair(b)
	out, err := rewrite(b, func(f field) ([]byte, bool) {
		if f.num != structFields || !f.bytes() {
			return nil, false
		}
		return r.member(f.val, pair, w), true
	})
	return r.outcome(b, out, err, w.secret)
}

// member redacts one field of a Struct.
func (r *redactor) member(entry []byte, pair bool, w structWalk) []byte {
	key := normal(string(lookup(entry, 1)))
	inline := key == "inlinestring" || key == "inlinebytes"
	w.secret = w.secret || secretKey(key) || inline && w.inline || pair && pairValue(key)
	w.inline = w.inline || strings.Contains(key, "tls") || strings.Contains(key, "certificate")
	out, err := rewrite(entry, func(f field) ([]byte, bool) {
		if f.num != 2 || !f.bytes() {
			return nil, false
		}
		return r.value(f.val, w), true
	})
	return r.outcome(entry, out, err, w.secret)
}

// secretPair: a Struct such as {"key": "authorization", "value": "..."}.
func secretPair(b []byte) bool {
	found := false
	_ = each(b, func(f field) error {
		if f.num != structFields || !f.bytes() {
			return nil
		}
		switch k, v := entryOf(f.val); normal(k) {
		case "key", "name", "header", "headername":
			found = found || secretHeader(string(lookup(v, valueString)))
		}
		return nil
	})
	return found
}

// normal makes snake_case, camelCase and header-names one.
func normal(key string) string {
	out := make([]byte, 0, 64)
	for i := range len(key) {
		c := lower(key[i])
		if c != '_' && c != '-' {
			out = append(out, c)
		}
	}
	return string(out)
}

// publicKeys are field names that sound like secrets and are none.
var publicKeys = []string{"tokenbucket", "maxtokens", "tokensperfill", "sdssecretconfig", "sdssecretconfigs", "secretname", "tokenendpoint",
	"tlscertificatesdssecretconfigs", "validationcontextsdssecretconfig", "customvalidationcontextsdssecretconfig",
	"secretnamespace", "tokenlocation", "privatekeyprovider"}

func secretKey(key string) bool {
	if slices.Contains(publicKeys, key) || strings.HasPrefix(key, "tokenbucket") {
		return false
	}
	switch key {
	case "cookie", "setcookie", "xapikey", "apikey", "privatekey", "initialmetadata", "callcredentials", "environmentvariables":
		return true
	}
	for _, part := range []string{"authorization", "token", "secret", "password", "passwd", "passphrase", "credentials"} {
		if strings.Contains(key, part) {
			return true
		}
	}
	return false
}

// value redacts a google.protobuf.Value.
func (r *redactor) value(b []byte, w structWalk) []byte {
	if w.depth <= 0 {
		return r.whole(b)
	}
	w.depth--
	if w.secret && bytes.HasPrefix(b, []byte{2<<3 | byte(protowire.Fixed64Type)}) { // a number
		return protowire.AppendBytes(protowire.AppendTag(nil, valueString, protowire.BytesType), r.mark(b))
	}
	out, err := rewrite(b, func(f field) ([]byte, bool) {
		switch {
		case !f.bytes():
			return nil, false
		case f.num == valueString && w.secret && len(f.val) > 0:
			return r.mark(f.val), true
		case f.num == valueString:
			return r.textBytes(f.val), true
		case f.num == valueStruct:
			return r.structure(f.val, w), true
		case f.num == valueList:
			return r.list(f.val, w), true
		}
		return nil, false
	})
	return r.outcome(b, out, err, w.secret)
}

// list redacts a google.protobuf.ListValue.
func (r *redactor) list(b []byte, w structWalk) []byte {
	if w.depth <= 0 {
		return r.whole(b)
	}
	w.depth--
	out, err := rewrite(b, func(f field) ([]byte, bool) {
		if f.num != listValues || !f.bytes() {
			return nil, false
		}
		return r.value(f.val, w), true
	})
	return r.outcome(b, out, err, w.secret)
}
