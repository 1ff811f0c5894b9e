package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// App is what a command has of the world: streams, clock, environment. Tests
// make their own.
type App struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Now is the clock; wanted by relative revisions of a live store and by ages.
	Now func() time.Time
	// Getenv looks up an environment variable, "" when unset.
	Getenv func(string) string
	// Version is what the build says of itself; "" leaves it to the Go toolchain.
	Version string
	// Width is the width of the terminal behind Stdout, 0 when there is none.
	Width func() int

	color string // auto, always, never
	quiet bool
}

// OSApp is the App of the process.
func OSApp() *App {
	return &App{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Now: time.Now, Getenv: os.Getenv, Width: terminalWidth,
	}
}

func terminalWidth() int {
	if !term.IsTerminal(int(os.Stdout.Fd())) {
		return 0
	}
	w, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil || w < 20 {
		return 80
	}
	return w
}

// Note tells the user what was chosen or done; -q silences it.
func (a *App) Note(format string, args ...any) {
	if !a.quiet {
		_, _ = fmt.Fprintf(a.Stderr, "xdsproxy: "+format+"\n", args...)
	}
}

// Warn tells the user what may make the output wrong or short.
func (a *App) Warn(format string, args ...any) {
	_, _ = fmt.Fprintf(a.Stderr, "xdsproxy: warning: "+format+"\n", args...)
}
