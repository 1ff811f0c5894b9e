package cli

import (
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Table lines up columns. Cells may hold colour; a cell's width is what is seen.
type Table struct {
	// Gap is the number of spaces between columns, 0 = 2.
	Gap int
	// Right lists columns that are aligned to the right.
	Right []int
	// Width is the widest line wanted, 0 = no limit.
	Width int
	// Flex is the column that is cut when a line gets too wide; the last by default.
	Flex int
	// Indent stands before every line.
	Indent string

	rows [][]string
}

// Row adds a line.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Len is the number of lines.
func (t *Table) Len() int { return len(t.rows) }

// WriteTo prints the table; the last column is not padded.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	widths := t.widths()
	var b strings.Builder
	for _, row := range t.rows {
		b.WriteString(t.Indent)
		b.WriteString(strings.TrimRight(t.line(row, widths), " "))
		b.WriteByte('\n')
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func (t *Table) line(row []string, widths []int) string {
	var b strings.Builder
	for i, cell := range row {
		if seen(cell) > widths[i] {
			cell = cut(cell, widths[i])
		}
		pad := strings.Repeat(" ", widths[i]-seen(cell))
		if i > 0 {
			b.WriteString(strings.Repeat(" ", t.gap()))
		}
		if slices.Contains(t.Right, i) {
			b.WriteString(pad + cell)
		} else {
			b.WriteString(cell + pad)
		}
	}
	return b.String()
}

func (t *Table) gap() int {
	if t.Gap > 0 {
		return t.Gap
	}
	return 2
}

// widths computes the columns' widths and takes what is too much from Flex.
func (t *Table) widths() []int {
	var ws []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(ws) {
				ws = append(ws, 0)
			}
			ws[i] = max(ws[i], seen(cell))
		}
	}
	if t.Width == 0 || len(ws) == 0 {
		return ws
	}
	total := len(t.Indent) + t.gap()*(len(ws)-1)
	for _, w := range ws {
		total += w
	}
	flex := t.Flex
	if flex == 0 {
		flex = len(ws) - 1
	}
	if over := total - t.Width; over > 0 {
		ws[flex] = max(ws[flex]-over, 8)
	}
	return ws
}

// seen is the width of s on a terminal: escape sequences count nothing.
func seen(s string) int {
	n := 0
	for s != "" {
		if k := escape(s); k > 0 {
			s = s[k:]
			continue
		}
		_, k := utf8.DecodeRuneInString(s)
		s = s[k:]
		n++
	}
	return n
}

// escape is the length of the colour sequence that s starts with, 0 for none.
func escape(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	return strings.IndexByte(s, 'm') + 1
}

// cut shortens s to width w, the last place an ellipsis; colour ends with it.
func cut(s string, w int) string {
	var b strings.Builder
	colored := false
	for n := 0; s != "" && n < w-1; {
		if k := escape(s); k > 0 {
			b.WriteString(s[:k])
			s, colored = s[k:], true
			continue
		}
		_, k := utf8.DecodeRuneInString(s)
		b.WriteString(s[:k])
		s = s[k:]
		n++
	}
	b.WriteString("…")
	if colored {
		b.WriteString(reset)
	}
	return b.String()
}
