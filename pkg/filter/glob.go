package filter

// glob reports whether s is what a pattern describes: * is any text, ? any one
// byte, a backslash takes the meaning of the byte behind it away.
func glob(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		c, n, special := token(pattern, p)
		switch {
		case special && c == '*':
			star, mark = p, i
			p += n
			continue
		case n > 0 && (special || c == s[i]):
			p += n
			i++
			continue
		case star < 0:
			return false
		}
		mark++
		p, i = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// token is the byte of a pattern at p, how long it is there, and whether it is a
// * or ? that means more than itself.
func token(pattern string, p int) (c byte, n int, special bool) {
	switch {
	case p >= len(pattern):
		return 0, 0, false
	case pattern[p] == '\\' && p+1 < len(pattern):
		return pattern[p+1], 2, false
	}
	c = pattern[p]
	return c, 1, c == '*' || c == '?'
}

// literal is a pattern without special bytes as the text it stands for.
func literal(pattern string) string {
	var b []byte
	for p := 0; p < len(pattern); {
		c, n, _ := token(pattern, p)
		b = append(b, c)
		p += n
	}
	return string(b)
}
