package record

import (
	"cmp"
	"slices"
	"strings"
)

// Validation errors print the message at fault as protobuf text or as JSON
// (source/common/protobuf/utility.cc): "header { key: "authorization" value: "…" }".
// Which value is a secret is said by the fields around it. textTree is what such a
// text holds; words around it are no fields.
type textTree struct {
	blocks []textBlock // the first is the text itself
	fields []textField
}

// textBlock is what stands between braces, or in a string that holds text again.
type textBlock struct {
	name   string
	parent int
	pair   bool // it has the name of a credential: its value is one
	typed  bool // it has a type URL: its value is an encoded message
	valued bool // it has a value: its key is a name
	secret bool
}

// textField is a quoted string: s[from:to], without the quotes.
type textField struct {
	name     string
	block    int
	from, to int
}

// textDepth bounds strings in strings.
const textDepth = 4

// protoText redacts the fields of messages that stand in s.
func (r *redactor) protoText(s string) string {
	t := textTree{blocks: make([]textBlock, 1, 8)}
	t.scan(s, 0, len(s), 0, textDepth)
	t.judge(s)
	slices.SortStableFunc(t.fields, func(a, b textField) int { return cmp.Or(a.from-b.from, b.to-a.to) })
	var b strings.Builder
	at := 0
	for _, f := range t.fields {
		if f.from < at || f.from == f.to || !t.secretField(f) {
			continue
		}
		b.WriteString(s[at:f.from])
		b.Write(r.mark([]byte(s[f.from:f.to])))
		at = f.to
	}
	if at == 0 {
		return s
	}
	b.WriteString(s[at:])
	return b.String()
}

// scan collects the blocks and fields of s[i:end]. A quote opens a string only
// where a name or a value may stand, so that one in a sentence does no harm.
func (t *textTree) scan(s string, i, end, block, depth int) {
	name, prev := "", byte(0)
	for i < end {
		c := s[i]
		start := i
		switch quote := openingQuote(s, i, end); {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case quote > 0 && strings.IndexByte("\x00:{,[\"", prev) >= 0:
			from := i + quote
			to, next := closingQuote(s, from, end, quote)
			i = next
			if prev != ':' && followedByColon(s, i, end) {
				name, prev = s[from:to], 'w'
				continue
			}
			t.fields = append(t.fields, textField{name, block, from, to})
			if depth > 0 && strings.ContainsAny(s[from:to], `"'{`) {
				t.scan(s, from, to, t.open(name, block), depth-1)
			}
			prev = '"'
			continue
		case c == '{':
			block, name = t.open(name, block), ""
		case c == '}':
			block = t.blocks[block].parent
		case c == '=':
			c = ':'
		case c == ':' || c == ',' || c == '[':
		case wordByte(c):
			for i < end && wordByte(s[i]) {
				i++
			}
			name, prev = s[start:i], 'w'
			continue
		default:
			for i+1 < end && c == '\\' && s[i+1] == '\\' { // a run is looked at once
				i++
			}
			c = 'w'
		}
		prev = c
		i++
	}
}

func (t *textTree) open(name string, parent int) int {
	t.blocks = append(t.blocks, textBlock{name: fieldName(name), parent: parent})
	return len(t.blocks) - 1
}

func wordByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'z' || c == '_' || c == '.' || c == '-' || c == '/'
}

// openingQuote is the length of the quote at i, with the backslashes that belong to
// it where the text stands in a string itself; 0 if there is none.
func openingQuote(s string, i, end int) int {
	n := i
	for n < end && s[n] == '\\' {
		n++
	}
	if n == end || s[n] != '"' && s[n] != '\'' {
		return 0
	}
	return n - i + 1
}

// closingQuote finds the end of a string, and what comes behind its quote. A quote
// with n backslashes before it is within one with 2n+1. A string that was cut off
// goes to the end.
func closingQuote(s string, from, end, quote int) (int, int) {
	q, slashes := s[from-1], 0
	for i := from; i < end; i++ {
		switch {
		case s[i] == '\\':
			slashes++
			continue
		case s[i] == q && slashes%(2*quote) == quote-1:
			return i - quote + 1, i + 1
		}
		slashes = 0
	}
	return end, end
}

func followedByColon(s string, i, end int) bool {
	return strings.HasPrefix(strings.TrimLeft(s[i:end], " \t\r\n"), ":")
}

// fieldName is the last part of a path or type URL, in the form of normal.
func fieldName(name string) string {
	return normal(name[strings.LastIndexAny(name, "./")+1:])
}

// judge finds the blocks that are secret. A parent comes before its children.
func (t *textTree) judge(s string) {
	for i := range t.fields {
		f := &t.fields[i]
		f.name = fieldName(f.name)
		b, v := &t.blocks[f.block], s[f.from:f.to]
		switch f.name {
		case "key", "name", "header", "headername":
			b.pair = b.pair || secretHeader(v) || secretKey(normal(v))
		case "typeurl", "@type":
			b.typed = true
		case "value", "rawvalue":
			b.valued = true
		}
	}
	for i := range t.blocks[1:] {
		b := &t.blocks[i+1]
		p := &t.blocks[b.parent]
		p.valued = p.valued || b.name == "value"
		b.secret = p.secret || secretKey(b.name) || p.pair && pairValue(b.name)
	}
}

func (t *textTree) secretField(f textField) bool {
	b := t.blocks[f.block]
	switch f.name {
	case "inlinestring", "inlinebytes", "user", "users":
		return true
	case "name", "filename", "environmentvariable", "providername", "path", "typeurl":
		return false
	case "key":
		return b.secret && !b.valued
	case "value":
		return b.secret || b.pair || b.typed
	}
	return b.secret || secretKey(f.name) || b.pair && pairValue(f.name)
}

// pairValue: the fields that hold the value of a header, cookie or parameter, or
// what a matcher compares it with.
func pairValue(name string) bool {
	switch name {
	case "value", "rawvalue", "exactmatch", "prefixmatch", "suffixmatch", "containsmatch", "regexmatch", "saferegexmatch", "stringmatch":
		return true
	}
	return false
}
