package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/xdsproxy/xdsproxy/pkg/replay"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// replayStops decides before which push to stop, and waits there.
type replayStops struct {
	app      *App
	fits     replay.Break
	stepping bool // before every push
	breaking bool // --break-on was given
	step     bool // --step was given
	print    *replayPrinter
	words    func(context.Context) (string, error)
}

func newReplayStops(app *App, o replayOptions, fits replay.Break, print *replayPrinter) *replayStops {
	s := &replayStops{app: app, fits: fits, breaking: o.breakOn != "", step: o.step, print: print}
	s.stepping = o.step && !s.breaking
	s.words = lineReader(app.Stdin)
	if f, ok := app.Stdin.(*os.File); ok && o.stepOn == "terminal" && term.IsTerminal(int(f.Fd())) {
		s.words = keyReader(f)
	}
	return s
}

// before stops where it should; false ends the replay.
func (s *replayStops) before(ctx context.Context, next *replay.Step) (bool, error) {
	var hits []xds.Event
	if s.breaking {
		for _, e := range next.Events {
			if s.fits(e) {
				hits = append(hits, e)
			}
		}
	}
	if !s.stepping && len(hits) == 0 {
		return true, nil
	}
	s.stepping = s.step
	if err := s.print.stop(next, hits); err != nil {
		return false, err
	}
	word, err := s.words(ctx)
	switch {
	case errors.Is(err, io.EOF):
		s.app.Note("no more input: the replay ends here")
		return false, nil
	case err != nil:
		return false, err
	case word == "q":
		return false, nil
	case word == "c":
		s.stepping = false
	}
	return true, nil
}

// answer is one word of the user, or why there is none.
type stopWord struct {
	word string
	err  error
}

// lineReader gives one line of in after the other. The goroutine that waits for a
// line ends with it; nothing else could wake it.
func lineReader(in io.Reader) func(context.Context) (string, error) {
	r := bufio.NewReader(in)
	return waitFor(func() (string, error) {
		l, err := r.ReadString('\n')
		if err != nil && l == "" {
			return "", err
		}
		return strings.TrimSpace(l), nil
	})
}

// keyReader gives one key of a terminal after the other.
func keyReader(f *os.File) func(context.Context) (string, error) {
	read := waitFor(func() (string, error) {
		var b [1]byte
		_, err := f.Read(b[:])
		return string(b[:]), err
	})
	return func(ctx context.Context) (string, error) {
		was, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return "", err
		}
		defer func() { _ = term.Restore(int(f.Fd()), was) }()
		k, err := read(ctx)
		if k == "\x03" || k == "\x04" { // Ctrl-C and Ctrl-D are keys while the terminal is raw
			return "", context.Canceled
		}
		return k, err
	}
}

func waitFor(read func() (string, error)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		got := make(chan stopWord, 1)
		go func() {
			w, err := read()
			got <- stopWord{w, err}
		}()
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case a := <-got:
			return a.word, a.err
		}
	}
}
