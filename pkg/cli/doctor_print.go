package cli

import (
	"fmt"
	"strings"
)

func printDoctor(app *App, f Format, r DoctorReport) error {
	switch {
	case f == FormatJSONL:
		for _, c := range r.Checks {
			c.APIVersion = r.APIVersion
			if err := Emit(app.Stdout, f, c); err != nil {
				return err
			}
		}
		return nil
	case machine(f):
		return Emit(app.Stdout, f, r)
	}
	width := 0
	for _, c := range r.Checks {
		width = max(width, len(c.Check))
	}
	for _, c := range r.Checks {
		if err := printFinding(app, c, width); err != nil {
			return fmt.Errorf("writing the output: %w", err)
		}
	}
	return nil
}

// printFinding is one line, wrapped where it has to be; what was found has its
// reason and the next step below.
func printFinding(app *App, c Finding, width int) error {
	color := app.Palette()
	status := fmt.Sprintf("%-4s", c.Status)
	switch c.Status {
	case StatusOK:
		status = color.Green(status)
	case StatusWarn:
		status = color.Yellow(status)
	case StatusFail:
		status = color.Red(status)
	case StatusSkip:
		status = color.Dim(status)
	}
	text, indent := c.What, strings.Repeat(" ", 4+2+width+2)
	if c.Code != "" {
		text += " [" + string(c.Code) + "]"
	}
	first := fmt.Sprintf("%s  %-*s  ", status, width, c.Check)
	if err := wrapTo(app.Stdout, text, first, indent, app.textWidth()); err != nil {
		return err
	}
	for _, part := range []struct{ word, text string }{{"why: ", c.Why}, {"try: ", c.Try}} {
		if part.text == "" {
			continue
		}
		if err := wrapTo(app.Stdout, part.text, indent+part.word, indent+"     ", app.textWidth()); err != nil {
			return err
		}
	}
	return nil
}
