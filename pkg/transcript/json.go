package transcript

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// member is one key of a JSON object with its value as it stands there.
type member struct {
	key   string
	value []byte
}

var errJSON = errors.New("not a JSON object")

// members splits an object without looking into its values more than it must:
// most bytes of a transcript are one long base64 string per line.
func members(b []byte) ([]member, error) {
	b = bytes.TrimSpace(b)
	if len(b) < 2 || b[0] != '{' {
		return nil, errJSON
	}
	var out []member
	for rest := space(b[1:]); ; {
		if len(rest) > 0 && rest[0] == '}' && len(out) == 0 {
			return out, end(rest)
		}
		m, after, err := oneMember(rest)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
		switch {
		case len(after) > 0 && after[0] == ',':
			rest = space(after[1:])
		case len(after) > 0 && after[0] == '}':
			return out, end(after)
		default:
			return nil, errJSON
		}
	}
}

func end(b []byte) error {
	if len(space(b[1:])) > 0 {
		return fmt.Errorf("%w: something follows it", errJSON)
	}
	return nil
}

func space(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

func oneMember(b []byte) (member, []byte, error) {
	n := value(b)
	if n == 0 || b[0] != '"' {
		return member{}, nil, errJSON
	}
	key, err := text(b[:n])
	if err != nil {
		return member{}, nil, err
	}
	b = space(b[n:])
	if len(b) == 0 || b[0] != ':' {
		return member{}, nil, errJSON
	}
	b = space(b[1:])
	n = value(b)
	if n == 0 {
		return member{}, nil, fmt.Errorf("%w: %q has no value", errJSON, key)
	}
	return member{key: key, value: b[:n]}, space(b[n:]), nil
}

// value returns the length of the JSON value that b starts with, 0 if there is
// none. Strings are skipped, other values checked.
func value(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	if b[0] == '"' {
		return quoted(b)
	}
	n, depth := 0, 0
loop:
	for n < len(b) {
		switch b[n] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				break loop
			}
			depth--
		case '"':
			q := quoted(b[n:])
			if q == 0 {
				return 0
			}
			n += q - 1
		case ',':
			if depth == 0 {
				break loop
			}
		}
		n++
	}
	n = len(bytes.TrimRight(b[:n], " \t\r\n"))
	if !json.Valid(b[:n]) {
		return 0
	}
	return n
}

// quoted returns the length of the string literal that b starts with.
func quoted(b []byte) int {
	for n := 1; n < len(b); {
		i := bytes.IndexByte(b[n:], '"')
		if i < 0 {
			return 0
		}
		n += i + 1
		slashes := 0
		for k := n - 2; k > 0 && b[k] == '\\'; k-- {
			slashes++
		}
		if slashes%2 == 0 {
			return n
		}
	}
	return 0
}

// plain returns the inside of a string literal without escapes.
func plain(v []byte) ([]byte, bool) {
	if len(v) < 2 || v[0] != '"' || bytes.IndexByte(v, '\\') >= 0 {
		return nil, false
	}
	return v[1 : len(v)-1], true
}

func text(v []byte) (string, error) {
	var s string
	if err := json.Unmarshal(v, &s); err != nil {
		return "", fmt.Errorf("reading a string: %w", err)
	}
	return s, nil
}
