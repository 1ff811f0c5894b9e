package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Error is a failure as the user sees it: what failed, on what; why; what to try.
type Error struct {
	Code    Code
	Message string
	Why     string
	Try     string
	Err     error // the cause, for errors.Is
}

func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrFound makes the process exit with 1 and prints nothing: what was looked for
// is there (events --fail-on), or there is a difference (diff).
var ErrFound = errors.New("found")

// Fail makes an Error; an error among args is kept as its cause.
func Fail(code Code, why, try, format string, args ...any) *Error {
	e := &Error{Code: code, Message: fmt.Sprintf(format, args...), Why: why, Try: try}
	for _, a := range args {
		if err, ok := a.(error); ok {
			e.Err = err
		}
	}
	return e
}

// Usagef makes a usage error, exit 64. Its reason is the command's usage line,
// which is filled in where the command ends.
func Usagef(try, format string, args ...any) *Error {
	return Fail(CodeUsage, "", try, format, args...)
}

// explained gives an error without a reason, or without what to try, this one.
func explained(e *Error, why, try string) *Error {
	out := *e
	out.Why, out.Try = cmp.Or(e.Why, why), cmp.Or(e.Try, try)
	return &out
}

// openFailure explains why path could not be opened.
func openFailure(path string, err error) *Error {
	reason := err
	var pe *fs.PathError
	if errors.As(err, &pe) {
		reason = pe.Err
	}
	code, try := CodeOpen, "check the path; `-` reads standard input"
	if errors.Is(err, fs.ErrPermission) {
		code, try = CodeForbidden, "run as the user that wrote it, or as root: files of a store are readable by their owner only"
	}
	e := Fail(code, reason.Error(), try, "cannot open %s", path)
	e.Err = err
	return e
}

// asError gives any error the form of an Error.
func asError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, fs.ErrPermission):
		return &Error{Code: CodeForbidden, Message: err.Error(), Err: err}
	}
	return &Error{Code: CodeOther, Message: err.Error(), Err: err}
}

// report prints err on w and returns the exit status.
func report(w io.Writer, err error, asJSON bool) int {
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, ErrFound):
		return ExitFound
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	}
	e := asError(err)
	if asJSON {
		writeErrorJSON(w, e)
	} else {
		writeErrorText(w, e)
	}
	return e.Code.Exit()
}

// ErrorJSON is an error as -o json and jsonl print it.
type ErrorJSON struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Why     string `json:"why"`
	Try     string `json:"try"`
}

func (e *Error) json() ErrorJSON {
	return ErrorJSON{Code: e.Code, Message: e.Message, Why: e.Why, Try: e.Try}
}

func writeErrorJSON(w io.Writer, e *Error) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(e.json()) // stderr: there is nobody else to tell
}

func writeErrorText(w io.Writer, e *Error) {
	var b strings.Builder
	fmt.Fprintf(&b, "xdsproxy: %s [%s]\n", e.Message, e.Code)
	if e.Why != "" {
		fmt.Fprintf(&b, "why: %s\n", e.Why)
	}
	if e.Try != "" {
		fmt.Fprintf(&b, "try: %s\n", e.Try)
	}
	_, _ = io.WriteString(w, b.String()) // ditto
}
