package filter

import (
	"fmt"
	"strings"
)

// SyntaxError says what of a filter could not be read, and what to write instead.
type SyntaxError struct {
	What string // what is wrong, with the word
	Try  string
}

func (e *SyntaxError) Error() string { return e.What }

// parse reads words: clauses, each with an optional "not" before it.
func parse(words []word) (Filter, error) {
	var f Filter
	not := false
	for _, w := range words {
		if w.text == "not" && w.colon < 0 {
			if not {
				return Filter{}, &SyntaxError{What: `"not" stands twice`, Try: "not kind:nack"}
			}
			not = true
			continue
		}
		if err := f.clause(w, not); err != nil {
			return Filter{}, err
		}
		not = false
	}
	if not {
		return Filter{}, &SyntaxError{What: `nothing follows "not"`, Try: "not kind:nack"}
	}
	f.order()
	return f, nil
}

// clause reads key:value,value.
func (f *Filter) clause(w word, not bool) error {
	if w.colon < 0 {
		return &SyntaxError{What: fmt.Sprintf("%q has no key", w.text), Try: "KEY:VALUE, with a key such as name, port, kind or sidecar"}
	}
	name := w.text[:w.colon]
	k := find(name)
	if k == nil {
		return &SyntaxError{What: fmt.Sprintf("unknown key %q", name), Try: "one of " + Keys()}
	}
	values, err := splitValues(w.text[w.colon+1:])
	if err != nil {
		return err
	}
	for _, text := range values {
		if text == "" {
			return &SyntaxError{What: fmt.Sprintf("%s: has an empty value", name), Try: k.example}
		}
		v, err := k.parse(text)
		if err != nil {
			return &SyntaxError{What: fmt.Sprintf("%s:%s: %v", name, text, err), Try: k.example}
		}
		f.add(k, not, v)
	}
	return nil
}

// Looks reports whether a word of a command line is meant as part of a filter:
// "not", or a known key and a colon.
func Looks(arg string) bool {
	if arg == "not" {
		return true
	}
	name, _, ok := strings.Cut(arg, ":")
	return ok && find(name) != nil
}
