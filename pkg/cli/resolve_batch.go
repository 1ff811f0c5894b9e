package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/xdsproxy/xdsproxy/pkg/query"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// BatchError stands in the place of an answer to a line that is no question.
type BatchError struct {
	APIVersion string    `json:"apiVersion"`
	Line       int       `json:"line"`
	Error      ErrorJSON `json:"error"`
}

// batchLine is a question on its way to an answer.
type batchLine struct {
	line   int
	asked  asked
	id     xds.Sidecar
	points []query.Answer
	err    error
}

// runBatch reads all questions, folds the history once per sidecar for all
// revisions asked about, and answers in order.
func runBatch(ctx context.Context, app *App, o resolveOptions, args []string, src *source) error {
	lines, err := readBatch(app, o)
	if err != nil {
		return err
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	k := newAsker(src, o.which.which())
	groups := map[xds.Sidecar][]*batchLine{}
	var order []xds.Sidecar
	for _, l := range lines {
		if l.err == nil {
			l.id, l.err = src.find(cmpString(l.asked.q.Sidecar, name))
		}
		if l.err != nil {
			continue
		}
		if groups[l.id] == nil {
			order = append(order, l.id)
		}
		groups[l.id] = append(groups[l.id], l)
	}
	for _, id := range order {
		if err := k.points(id, groups[id]); err != nil {
			return err
		}
	}
	return k.printBatch(ctx, app.Stdout, lines)
}

func cmpString(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func readBatch(app *App, o resolveOptions) ([]*batchLine, error) {
	in := app.Stdin
	if o.batch != "-" {
		f, err := os.Open(o.batch)
		if err != nil {
			return nil, openFailure(o.batch, err)
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	var out []*batchLine
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 16<<20)
	for n := 1; sc.Scan(); n++ {
		if len(bytes.TrimSpace(sc.Bytes())) == 0 {
			continue
		}
		l := &batchLine{line: n}
		l.asked, l.err = parseLine(sc.Bytes(), o)
		out = append(out, l)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("reading questions from %s: %w", o.batch, err)
	}
	return out, nil
}

const exampleLine = `{"destination":"10.0.0.1:80","signal":{"kind":"tls"}}`

func parseLine(b []byte, o resolveOptions) (asked, error) {
	var q question
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields() // a misspelt signal must not be answered as another question
	err := d.Decode(&q)
	if err == nil && len(bytes.TrimSpace(b[d.InputOffset():])) > 0 {
		err = errors.New("there is more on the line than one JSON object")
	}
	if err != nil {
		return asked{}, Fail(CodeBatch, err.Error(), exampleLine, "not a question in JSON")
	}
	if q.At == "" {
		q.At = o.at
	}
	if q.Source == "" {
		q.Source = o.from
	}
	return readQuestion(q)
}

// points finds the points of all questions about one sidecar.
func (k *asker) points(id xds.Sidecar, lines []*batchLine) error {
	var revs []query.Revision
	for _, l := range lines {
		revs = append(revs, l.asked.revs...)
	}
	points, err := k.read.AtMany(id, revs)
	if len(points) == 0 {
		return err
	}
	if err := k.src.partial(err); err != nil {
		return err
	}
	for _, l := range lines {
		n := len(l.asked.revs)
		l.points, points = points[:n], points[n:]
	}
	return nil
}

func (k *asker) printBatch(ctx context.Context, w io.Writer, lines []*batchLine) error {
	out := bufio.NewWriter(w)
	bad := 0
	for _, l := range lines {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, out.Flush())
		}
		var answer any
		if l.err == nil {
			answer, l.err = k.answer(l.asked, l.points)
		}
		if l.err != nil {
			bad++
			e := explained(asError(l.err), "this line is no question that can be answered", "a line like "+exampleLine)
			answer = BatchError{APIVersion: xds.APIVersion, Line: l.line, Error: e.json()}
		}
		if err := Emit(out, FormatJSONL, answer); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the answers: %w", err)
	}
	if bad > 0 {
		return Fail(CodeBatch, "each has an answer line with its number and what is wrong with it", "correct those lines; the others are answered", "%s could not be answered", plural(bad, "question", "questions"))
	}
	return nil
}
