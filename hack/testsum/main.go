// Command testsum reads `go test -json` on standard input and prints what a
// person wants of it: a line for each package, all that failed tests printed,
// the reasons of skipped ones, and at the end how many tests ran, and how many
// of them on a real Envoy.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// event is a line of test2json.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// summary is what was seen so far.
type summary struct {
	passed, failed, skipped, real int
	output                        map[string][]string // of tests that are not finished
}

func main() {
	s := summary{output: map[string][]string{}}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		s.line(line)
		if err != nil {
			break
		}
	}
	fmt.Printf("tests on a real Envoy: %d\n", s.real)
	fmt.Printf("%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if s.failed > 0 || s.passed == 0 {
		os.Exit(1)
	}
}

func (s *summary) line(b []byte) {
	var e event
	if json.Unmarshal(b, &e) != nil {
		fmt.Print(string(b)) // what is no event is said by the tool itself
		return
	}
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		s.output[key] = append(s.output[key], e.Output)
	case "pass", "fail", "skip":
		s.end(e, key)
		delete(s.output, key)
	case "build-fail":
		s.failed++
		fmt.Print(strings.Join(s.output[key], ""))
	}
}

// end counts a test, or prints the line of a package.
func (s *summary) end(e event, key string) {
	if e.Test == "" {
		if e.Action != "skip" {
			fmt.Printf("%-4s %s (%.1fs)\n", e.Action, e.Package, e.Elapsed)
		}
		if e.Action == "fail" {
			s.failed++
			fmt.Print(strings.Join(s.output[key], ""))
		}
		return
	}
	switch e.Action {
	case "pass":
		s.passed++
		if strings.Contains(e.Test, "RealEnvoy") {
			s.real++
		}
	case "fail":
		s.failed++
		fmt.Printf("FAIL %s %s\n%s", e.Package, e.Test, strings.Join(s.output[key], ""))
	case "skip":
		s.skipped++
		fmt.Printf("skip %s %s\n%s", e.Package, e.Test, strings.Join(s.output[key], ""))
	}
}
