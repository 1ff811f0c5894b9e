package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	named    = regexp.MustCompile("`(?:(pkg/[a-z/]+)\\.)?((?:Test|Fuzz)[A-Za-z0-9]+)`")
	declared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
)

// TestEveryFaultIsTold compares docs/reliability.md with the tests: it names one
// for each of the twenty faults, no other than there are, and all of this folder.
func TestEveryFaultIsTold(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	told, here := map[string]bool{}, testsOf(t, ".")
	for _, m := range named.FindAllStringSubmatch(string(b), -1) {
		folder, name := m[1], m[2]
		if folder == "" {
			told[name] = true
			if !here[name] {
				t.Errorf("docs/reliability.md names %s, which is not here", name)
			}
		} else if !testsOf(t, "../../"+folder)[name] {
			t.Errorf("docs/reliability.md names %s.%s, which is not there", folder, name)
		}
	}
	for name := range here {
		if !told[name] && name != "TestMain" && name != "TestEveryFaultIsTold" {
			t.Errorf("docs/reliability.md does not tell of %s", name)
		}
	}
	for n := 1; n <= 20; n++ {
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %d \|.*$`, n)).FindString(string(b))
		if !named.MatchString(row) {
			t.Errorf("docs/reliability.md has no test for fault %d", n)
		}
	}
}

// testsOf are the names of a folder's tests.
func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllStringSubmatch(string(b), -1) {
			all[strings.TrimSpace(m[1])] = true
		}
	}
	return all
}
