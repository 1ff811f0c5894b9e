package filter

import (
	"slices"
	"strings"
)

// Filter chooses things by their facts: every key that it names has to fit, with
// one of its values, and with none of those under "not". The zero Filter chooses
// everything.
type Filter struct {
	clauses []clause // in the order of the table of keys, at most one per key and sign
}

// clause is one key with the values that are alternatives.
type clause struct {
	key    *key
	not    bool
	values []value
}

// value is one alternative as it was written, and what it means.
type value struct {
	text  string
	meets func(*Facts) bool
}

// Parse reads a filter. Words are separated by spaces; the error is a *SyntaxError.
func Parse(text string) (Filter, error) {
	words, err := split(text)
	if err != nil {
		return Filter{}, err
	}
	return parse(words)
}

// Empty reports whether f chooses everything.
func (f Filter) Empty() bool { return len(f.clauses) == 0 }

// Match reports whether f chooses what has these facts.
func (f Filter) Match(facts Facts) bool {
	for _, c := range f.clauses {
		if c.matches(&facts) == c.not {
			return false
		}
	}
	return true
}

func (c clause) matches(facts *Facts) bool {
	return slices.ContainsFunc(c.values, func(v value) bool { return v.meets(facts) })
}

// String is the filter in its one normal form, which Parse reads as the same filter.
func (f Filter) String() string {
	var words []string
	for _, c := range f.clauses {
		words = append(words, c.String())
	}
	return strings.Join(words, " ")
}

func (c clause) String() string {
	var texts []string
	for _, v := range c.values {
		texts = append(texts, quote(v.text))
	}
	s := c.key.name + ":" + strings.Join(texts, ",")
	if c.not {
		return "not " + s
	}
	return s
}

// add puts a value to its clause. The same key twice is one list; equal values are
// kept once.
func (f *Filter) add(k *key, not bool, v value) {
	i := slices.IndexFunc(f.clauses, func(c clause) bool { return c.key == k && c.not == not })
	if i < 0 {
		f.clauses = append(f.clauses, clause{key: k, not: not})
		i = len(f.clauses) - 1
	}
	c := &f.clauses[i]
	if !slices.ContainsFunc(c.values, func(o value) bool { return o.text == v.text }) {
		c.values = append(c.values, v)
	}
}

// order brings the clauses into the order of the table, those with "not" last.
func (f *Filter) order() {
	slices.SortStableFunc(f.clauses, func(a, b clause) int {
		if a.not != b.not {
			if a.not {
				return 1
			}
			return -1
		}
		return a.key.rank - b.key.rank
	})
}
