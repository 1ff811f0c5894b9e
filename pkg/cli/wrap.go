package cli

import (
	"io"
	"strings"
)

// defaultTextWidth is the width that text for people is wrapped at where there is no
// terminal to ask.
const defaultTextWidth = 80

// textWidth is the width to wrap at.
func (a *App) textWidth() int {
	if w := a.Width(); w > 0 {
		return min(w, 120)
	}
	return defaultTextWidth
}

// wrap writes text in lines of at most width, each after indent; a word that is
// too long stands alone.
func wrap(w io.Writer, text, indent string, width int) error {
	return wrapTo(w, text, indent, indent, width)
}

// wrapTo is wrap with another indent for the first line.
func wrapTo(w io.Writer, text, first, indent string, width int) error {
	var b strings.Builder
	line := first
	empty := true
	for _, word := range strings.Fields(text) {
		if !empty && seen(line)+1+seen(word) > width {
			b.WriteString(line + "\n")
			line, empty = indent, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	if !empty {
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
