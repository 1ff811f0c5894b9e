package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

// result is what a command line gave.
type result struct {
	exit        int
	stdout, err string
}

// testNow is the clock of commands under test.
var testNow = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

// run runs a command line without terminal and environment.
func run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	app := &App{
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs,
		Now:    func() time.Time { return testNow },
		Getenv: func(string) string { return "" },
		Width:  func() int { return 0 },
	}
	exit := Main(context.Background(), app, args)
	return result{exit, out.String(), errs.String()}
}

const recordings = "../../test/recordings/"
