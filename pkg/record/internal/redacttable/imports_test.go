package redacttable

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestImportsAreComplete: a new package of Envoy's API has to be linked here, or
// its messages are opaque to the recorder.
func TestImportsAreComplete(t *testing.T) {
	out, err := exec.Command("go", "list", "-e", "github.com/envoyproxy/go-control-plane/envoy/...", "github.com/cncf/xds/go/...").Output()
	if err != nil {
		t.Fatalf("listing the packages of Envoy's API: %v", err)
	}
	src, err := os.ReadFile("imports.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range strings.Fields(string(out)) {
		// The first hold options only, the second need a module that nothing else
		// does: extras has their rules.
		if strings.HasSuffix(pkg, "/annotations") || strings.Contains(pkg, "/annotations/") || strings.HasSuffix(pkg, "/open_telemetry/v3") && !strings.Contains(pkg, "/tracers/") {
			continue
		}
		if !strings.Contains(string(src), `"`+pkg+`"`) {
			t.Errorf("%s is not linked", pkg)
		}
	}
}
