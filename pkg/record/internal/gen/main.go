// Command gen writes the table that pkg/record redacts by.
package main

import (
	"fmt"
	"os"

	"github.com/xdsproxy/xdsproxy/pkg/record/internal/redacttable"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: gen FILE")
	}
	src, err := redacttable.Generate()
	if err != nil {
		return fmt.Errorf("making the table: %w", err)
	}
	if err := os.WriteFile(args[0], src, 0o644); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}
