package filter

import "strings"

// word is one space-separated part; colon is where its key ends, -1 without one.
type word struct {
	text  string
	colon int
}

// split cuts a filter into words. Spaces inside double quotes do not separate; a
// backslash keeps the character behind it from meaning anything.
func split(text string) ([]word, error) {
	var out []word
	var s scanner
	for i := 0; i < len(text); i++ {
		c := text[i]
		if isSpace(c) && s.plain() {
			out = s.end(out)
			continue
		}
		if c == ':' && s.plain() && s.colon < 0 {
			s.colon = s.b.Len()
		}
		s.next(c)
	}
	if !s.plain() {
		return nil, &SyntaxError{What: "a quotation mark or backslash is left open", Try: `name:"a name, with a comma"`}
	}
	return s.end(out), nil
}

// scanner follows quotation marks and backslashes.
type scanner struct {
	b       strings.Builder
	colon   int
	begun   bool
	quoted  bool
	escaped bool
}

func (s *scanner) plain() bool {
	if !s.begun {
		s.colon, s.begun = -1, true
	}
	return !s.quoted && !s.escaped
}

// next takes one byte of a word, quotation marks and backslashes kept.
func (s *scanner) next(c byte) {
	s.b.WriteByte(c)
	switch {
	case s.escaped:
		s.escaped = false
	case c == '\\':
		s.escaped = true
	case c == '"':
		s.quoted = !s.quoted
	}
}

func (s *scanner) end(out []word) []word {
	if s.b.Len() > 0 {
		out = append(out, word{text: s.b.String(), colon: s.colon})
	}
	*s = scanner{}
	return out
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// splitValues cuts key values at commas outside quotation marks, and takes the
// quotation marks away.
func splitValues(text string) ([]string, error) {
	var out []string
	var s scanner
	start := 0
	for i := 0; i < len(text); i++ {
		if text[i] == ',' && s.plain() {
			out = append(out, unquote(text[start:i]))
			start = i + 1
			s = scanner{}
			continue
		}
		s.plain()
		s.next(text[i])
	}
	return append(out, unquote(text[start:])), nil
}

// unquote takes quotation marks and the backslashes of \" away. What a quotation
// mark protected from the glob stays protected, by a backslash.
func unquote(s string) string {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			i++
			writeLiteral(&b, s[i])
		case c == '"':
			quoted = !quoted
		case quoted:
			writeLiteral(&b, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// writeLiteral writes a byte that stands for itself.
func writeLiteral(b *strings.Builder, c byte) {
	if c == '*' || c == '?' || c == '\\' {
		b.WriteByte('\\')
	}
	b.WriteByte(c)
}

// quote writes a value so that split, splitValues and unquote give it back.
func quote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			b.WriteByte(c)
			i++
			b.WriteByte(s[i])
		case c == ',' || c == '"' || isSpace(c):
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
