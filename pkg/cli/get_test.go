package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestGetPrintsWhatIstioctlPrints holds every table that istioctl printed for a
// config_dump against ours, but for white space and the order of equal keys.
func TestGetPrintsWhatIstioctlPrints(t *testing.T) {
	files, err := filepath.Glob(recordings + "*/istioctl-*.txt")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	name := regexp.MustCompile(`^istioctl-(.*)-(listener|cluster|route)\.txt$`)
	for i, f := range files {
		if slow && i%8 != 0 {
			continue
		}
		m := name.FindStringSubmatch(filepath.Base(f))
		if m == nil {
			t.Fatalf("unexpected name %s", f)
		}
		want, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		dump := filepath.Join(filepath.Dir(f), "envoy-config-dump-"+m[1]+".json.gz")
		got := run(t, "", "get", m[2], "--file", dump, "-q")
		if got.exit != 0 || got.err != "" {
			t.Errorf("%s: exit %d: %s", f, got.exit, got.err)
			continue
		}
		if a, b := squeeze(string(want)), squeeze(got.stdout); !slices.Equal(a, b) {
			t.Errorf("%s:\nistioctl\n%s\nxdsproxy\n%s", f, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
}

// squeeze folds white space and sorts the lines.
func squeeze(s string) []string {
	var out []string
	for line := range strings.Lines(s) {
		if fields := strings.Fields(line); len(fields) > 0 {
			out = append(out, strings.Join(fields, " "))
		}
	}
	slices.Sort(out)
	return out
}
