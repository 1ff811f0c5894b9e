package replay

import "bytes"

// A config_dump can be tens of megabytes of which nearly nothing differs from the one
// before. These functions find its parts without making anything of them; on what is
// no JSON they find nothing.

// skip returns the index behind the value that begins at or after i.
func skip(b []byte, i int) int {
	i = blank(b, i)
	if i >= len(b) {
		return i
	}
	switch b[i] {
	case '"':
		return text(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				i = text(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return i
	}
	for i < len(b) && !bytes.ContainsRune([]byte(",]} \t\r\n"), rune(b[i])) {
		i++
	}
	return i
}

// text returns the index behind the string that begins at i.
func text(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// blank returns the index of the first byte that is not between values.
func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r' || b[i] == ',' || b[i] == ':') {
		i++
	}
	return i
}

// fields yields the keys, without quotes, and values of an object.
func fields(b []byte) func(yield func(key string, value []byte) bool) {
	return func(yield func(string, []byte) bool) {
		i := blank(b, 0)
		if i >= len(b) || b[i] != '{' {
			return
		}
		for i = blank(b, i+1); i < len(b) && b[i] == '"'; i = blank(b, i) {
			k := text(b, i)
			from := blank(b, k)
			to := skip(b, from)
			if to > len(b) || !yield(string(b[i+1:k-1]), b[from:to]) {
				return
			}
			i = to
		}
	}
}

// items yields the elements of an array.
func items(b []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		i := blank(b, 0)
		if i >= len(b) || b[i] != '[' {
			return
		}
		for i = blank(b, i+1); i < len(b) && b[i] != ']'; i = blank(b, i) {
			to := skip(b, i)
			if to == i || !yield(b[i:to]) {
				return
			}
			i = to
		}
	}
}

// field is one value of an object, nil if it is not there.
func field(b []byte, key string) []byte {
	for k, v := range fields(b) {
		if k == key {
			return v
		}
	}
	return nil
}

// plain is a string without escapes.
func plain(b []byte) (string, bool) {
	if len(b) < 2 || b[0] != '"' || bytes.IndexByte(b, '\\') >= 0 {
		return "", false
	}
	return string(b[1 : len(b)-1]), true
}
