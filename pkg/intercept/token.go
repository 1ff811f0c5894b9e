package intercept

import (
	"encoding/binary"
	"errors"
)

var (
	errTruncated = errors.New("protobuf: the message ends inside a field")
	errTag       = errors.New("protobuf: invalid tag")
	errVarint    = errors.New("protobuf: number over 64 bits")
	errGroup     = errors.New("protobuf: unbalanced group")
)

const maxGroupDepth = 100

type tokenKind uint8

const (
	tokMore  tokenKind = iota // all input is used up
	tokSmall                  // a whole field of fixed size or varint, or a group's tag, in raw
	tokBegin                  // tag and length of a length-delimited field, in raw
	tokData                   // a piece of that field's content, in raw
)

// token is one step through a message. Its raw bytes are valid until the next
// call: together the raw bytes of all tokens are the message.
type token struct {
	kind   tokenKind
	num    int    // field number; for tokData that of its tokBegin
	size   uint64 // tokBegin: length of the content
	raw    []byte
	last   bool // tokData: the field ends here
	nested bool // the field stands inside a group
}

// tokenizer splits one protobuf message, fed in slices of any size, into the
// fields of its top level. It holds a few bytes and looks at each byte once;
// contents of length-delimited fields are skipped, not read.
type tokenizer struct {
	left  uint64 // bytes of the message not seen yet
	body  uint64 // bytes of the current field's content not seen yet
	head  [20]byte
	n     int // bytes in head
	tag   int // length of the tag in head, 0 while it is not complete
	want  int // bytes that head will hold, for fields of fixed size
	num   int
	wire  int
	depth int
}

func (t *tokenizer) reset(size uint64) { *t = tokenizer{left: size} }

// next returns the next token of b and how much of b it took.
func (t *tokenizer) next(b []byte) (token, int, error) {
	if t.body > 0 {
		return t.content(b)
	}
	for i, c := range b {
		if t.left == 0 || t.n == len(t.head) {
			return token{}, i, errTruncated
		}
		t.left--
		t.head[t.n] = c
		t.n++
		tok, done, err := t.step(c)
		if err != nil || done {
			return tok, i + 1, err
		}
	}
	return token{}, len(b), nil
}

// whole returns the content of a length-delimited field with a tag of one byte,
// where the field begins b, all of it is there and it is not over most bytes, and
// how much of b it is; 0 where next must be asked. It does in one step what next does in two: nearly
// every byte of a push is in such a field.
func (t *tokenizer) whole(b []byte, tag byte, most int) (content []byte, n int) {
	if t.n != 0 || t.body != 0 || t.depth != 0 || len(b) < 2 || b[0] != tag {
		return nil, 0
	}
	size, head := binary.Uvarint(b[1:min(len(b), 5)])
	n = 1 + head + int(size)
	if head <= 0 || size > uint64(most) || n > len(b) || uint64(n) > t.left {
		return nil, 0
	}
	t.left -= uint64(n)
	return b[1+head : n], n
}

func (t *tokenizer) content(b []byte) (token, int, error) {
	n := len(b)
	if uint64(n) > t.body {
		n = int(t.body)
	}
	t.body -= uint64(n)
	t.left -= uint64(n)
	if n == 0 {
		return token{}, 0, nil
	}
	return token{kind: tokData, num: t.num, raw: b[:n], last: t.body == 0, nested: t.depth > 0}, n, nil
}

// step looks at the newest byte of head.
func (t *tokenizer) step(c byte) (token, bool, error) {
	if t.tag == 0 {
		if c >= 0x80 {
			return token{}, false, t.tooLong(5)
		}
		return t.gotTag()
	}
	if t.want > 0 {
		if t.n < t.want {
			return token{}, false, nil
		}
		return t.small(), true, nil
	}
	if c >= 0x80 {
		return token{}, false, t.tooLong(10)
	}
	if t.wire == 0 {
		_, err := varint(t.head[t.tag:t.n])
		return t.small(), err == nil, err
	}
	return t.begin()
}

func (t *tokenizer) tooLong(limit int) error {
	if t.n-t.tag >= limit {
		return errVarint
	}
	return nil
}

// gotTag acts on a complete tag.
func (t *tokenizer) gotTag() (token, bool, error) {
	v, err := varint(t.head[:t.n])
	if err != nil || v>>3 == 0 || v>>3 > 1<<29-1 {
		return token{}, false, errTag
	}
	t.tag, t.num, t.wire, t.want = t.n, int(v>>3), int(v&7), 0
	switch t.wire {
	case 0, 2:
		return token{}, false, nil
	case 1:
		t.want = t.n + 8
		return token{}, false, nil
	case 5:
		t.want = t.n + 4
		return token{}, false, nil
	}
	return t.group()
}

func (t *tokenizer) group() (token, bool, error) {
	switch t.wire {
	case 3:
		t.depth++
	case 4:
		t.depth--
	default:
		return token{}, false, errTag
	}
	if t.depth < 0 || t.depth > maxGroupDepth {
		return token{}, false, errGroup
	}
	tok := t.small()
	tok.nested = true
	return tok, true, nil
}

func (t *tokenizer) small() token {
	tok := token{kind: tokSmall, num: t.num, raw: t.head[:t.n], nested: t.depth > 0}
	t.n, t.tag = 0, 0
	return tok
}

func (t *tokenizer) begin() (token, bool, error) {
	size, err := varint(t.head[t.tag:t.n])
	if err != nil {
		return token{}, false, err
	}
	if size > t.left {
		return token{}, false, errTruncated
	}
	t.body = size
	tok := token{kind: tokBegin, num: t.num, size: size, raw: t.head[:t.n], nested: t.depth > 0}
	t.n, t.tag = 0, 0
	return tok, true, nil
}

// end checks that the message was complete.
func (t *tokenizer) end() error {
	switch {
	case t.left != 0 || t.body != 0 || t.n != 0:
		return errTruncated
	case t.depth != 0:
		return errGroup
	}
	return nil
}

// varint reads b, which is one number and nothing else.
func varint(b []byte) (uint64, error) {
	var v uint64
	for i, c := range b {
		if i == 9 && c > 1 {
			return 0, errVarint
		}
		v |= uint64(c&0x7f) << (7 * i)
	}
	return v, nil
}

// eachField walks a whole message that is at hand and calls f with the number
// and content of each length-delimited field of its top level.
func eachField(msg []byte, f func(num int, content []byte)) error {
	var t tokenizer
	t.reset(uint64(len(msg)))
	for len(msg) > 0 {
		tok, n, err := t.next(msg)
		if err != nil {
			return err
		}
		msg = msg[n:]
		switch {
		case tok.nested:
		case tok.kind == tokBegin && tok.size == 0:
			f(tok.num, nil)
		case tok.kind == tokData:
			f(tok.num, tok.raw)
		}
	}
	return t.end()
}
