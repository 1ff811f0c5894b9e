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
	out, err := exec.Command("go", "list", "github.com/envoyproxy/go-control-plane/envoy/...", "github.com/cncf/xds/go/...").Output()
	if err != nil {
		t.Skipf("listing the packages of Envoy's API: %v", err)
	}
	src, err := os.ReadFile("imports.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range strings.Fields(string(out)) {
		// The first hold options only, the second needs a module that nothing else does.
		if strings.HasSuffix(pkg, "/annotations") || strings.Contains(pkg, "/annotations/") || strings.HasSuffix(pkg, "/access_loggers/open_telemetry/v3") {
			continue
		}
		if !strings.Contains(string(src), `"`+pkg+`"`) {
			t.Errorf("%s is not linked", pkg)
		}
	}
}
