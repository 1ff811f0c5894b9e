package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// The part of a document that holds the table.
const (
	tableBegin = "<!-- figures of make bench: begin -->\n"
	tableEnd   = "<!-- figures of make bench: end -->\n"
)

// document puts the figures into a document, in place of those that stand there.
func (r *report) document(path string, about map[string]string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return errors.New(path + " has no place for the figures")
	}
	return os.WriteFile(path, []byte(before+tableBegin+r.markdown(about)+tableEnd+after), 0o644)
}

func (r *report) markdown(about map[string]string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n%s CPUs (%s), %s, %s; %s; load averages %s. xdsproxy %s, %s.\n", about["cpus"], about["cpu"], about["kernel"], about["go"],
		about["haproxy"], about["load"], about["xdsproxy"], about["time"])
	fmt.Fprint(&out, "\n### Goals\n\n| goal | at most | measured (quartiles) | met | |\n|---|---|---|---|---|\n")
	for _, f := range r.figures {
		if f.Judged {
			goal := fmt.Sprintf("%g %s", f.Goal, f.Unit)
			if f.AtLeast {
				goal = "at least " + goal
			}
			fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |\n", cell(f.What), strings.TrimSpace(goal), strings.TrimSpace(f.value()), strings.ToLower(met(f.Met)), cell(f.Note))
		}
	}
	fmt.Fprint(&out, "\n### Beside them\n\n| figure | measured (quartiles) | |\n|---|---|---|\n")
	for _, f := range r.figures {
		if !f.Judged {
			fmt.Fprintf(&out, "| %s | %s | %s |\n", cell(f.What), strings.TrimSpace(f.value()), cell(f.Note))
		}
	}
	out.WriteString("\n")
	return out.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
