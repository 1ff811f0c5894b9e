package cli

import "github.com/xdsproxy/xdsproxy/pkg/xds"

const reset = "\x1b[0m"

// Palette colours words when colour is on. Colour never says anything alone: a
// word or a sign stands beside it.
type Palette struct{ on bool }

// Palette decides whether stdout gets colour: --color, then CLICOLOR_FORCE, then
// NO_COLOR and TERM=dumb, then whether it is a terminal.
func (a *App) Palette() Palette {
	switch {
	case a.color == "always":
		return Palette{on: true}
	case a.color == "never":
		return Palette{}
	}
	if v := a.Getenv("CLICOLOR_FORCE"); v != "" && v != "0" {
		return Palette{on: true}
	}
	if a.Getenv("NO_COLOR") != "" || a.Getenv("TERM") == "dumb" {
		return Palette{}
	}
	return Palette{on: a.Width() > 0}
}

func (p Palette) paint(code, s string) string {
	if !p.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + reset
}

// Bold is for what is to be seen first.
func (p Palette) Bold(s string) string { return p.paint("1", s) }

// Dim is for what matters less.
func (p Palette) Dim(s string) string { return p.paint("2", s) }

// Red is for what broke or went.
func (p Palette) Red(s string) string { return p.paint("31", s) }

// Green is for what works or came.
func (p Palette) Green(s string) string { return p.paint("32", s) }

// Yellow is for what changed.
func (p Palette) Yellow(s string) string { return p.paint("33", s) }

// Severity colours a severity's word.
func (p Palette) Severity(s xds.Severity) string {
	switch s {
	case xds.Critical:
		return p.paint("1;31", string(s))
	case xds.High:
		return p.Red(string(s))
	case xds.Medium:
		return p.Yellow(string(s))
	}
	return string(s)
}
