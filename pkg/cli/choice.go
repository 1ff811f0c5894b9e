package cli

import (
	"fmt"
	"slices"
	"strings"
)

// choice is a flag value out of a list.
type choice struct {
	to      *string
	allowed []string
}

func newChoice(to *string, def string, allowed ...string) *choice {
	*to = def
	return &choice{to: to, allowed: allowed}
}

func (c *choice) String() string { return *c.to }

func (c *choice) Type() string { return strings.Join(c.allowed, "|") }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("must be one of %s", strings.Join(c.allowed, ", "))
	}
	*c.to = s
	return nil
}
