// Package test holds the tests that concern the project as a whole.
package test

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/xdsproxy/xdsproxy/"

// layer gives each numbered package its level: it may import lower ones only.
var layer = map[string]int{
	"pkg/xds": 0, "pkg/filter": 1, "pkg/decode": 1, "pkg/state": 1, "pkg/configdump": 2, "pkg/diff": 2, "pkg/traffic": 2,
	"pkg/judge": 3, "pkg/timeline": 4, "pkg/query": 5, "pkg/query/sourcetest": 6, "pkg/demo": 6, "pkg/replay": 6, "pkg/cli": 7, "cmd/xdsproxy": 8,
}

// edge names the packages that touch the outside, and what of ours each may import.
var edge = map[string][]string{
	"pkg/intercept": {"pkg/xds"}, "pkg/record": {"pkg/xds"}, "pkg/store": {"pkg/xds"},
	"pkg/transcript": {"pkg/xds", "pkg/record"}, "pkg/admin": {"pkg/xds"},
}

// pure names the packages without clock, network or files.
var pure = []string{"pkg/state", "pkg/diff", "pkg/traffic", "pkg/judge", "pkg/timeline"}

// banned is what a pure package may not import directly, with the reason.
var banned = map[string]string{
	"net": "no I/O in the pure core", "os": "no I/O in the pure core", "google.golang.org/grpc": "no gRPC in the pure core",
}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "../...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var l listed
		if err := d.Decode(&l); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
}

// allowed says whether a package may import another one of ours.
func allowed(from, to string) bool {
	if may, ok := edge[from]; ok {
		return slices.Contains(may, to)
	}
	if from == "pkg/cli" || strings.HasPrefix(from, "cmd/") {
		return to != from
	}
	lf, ok1 := layer[from]
	lt, ok2 := layer[to]
	return ok1 && ok2 && lt < lf
}

func TestImportsGoDownwards(t *testing.T) {
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(from, "test") || strings.HasPrefix(from, "hack") || strings.Contains(from, "/internal/") {
			continue
		}
		if _, ok := layer[from]; !ok && edge[from] == nil {
			t.Errorf("%s has no layer: name it in layers_test.go and ARCHITECTURE.md", from)
		}
		for _, i := range p.Imports {
			if to, ours := strings.CutPrefix(i, module); ours && !allowed(from, to) {
				t.Errorf("%s must not import %s", from, to)
			}
		}
	}
}

func TestPureCoreStaysPure(t *testing.T) {
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		if !slices.Contains(pure, from) {
			continue
		}
		for _, i := range p.Imports {
			if why, bad := banned[i]; bad || strings.HasPrefix(i, "k8s.io/") || strings.HasPrefix(i, "google.golang.org/grpc") {
				t.Errorf("%s imports %s: %s", from, i, why)
			}
		}
	}
}

func TestForwardingPathLinksNoKubernetesClient(t *testing.T) {
	for _, p := range list(t) {
		if p.ImportPath != module+"pkg/intercept" && p.ImportPath != module+"pkg/store" && p.ImportPath != module+"pkg/record" {
			continue
		}
		for _, d := range p.Deps {
			if strings.HasPrefix(d, "k8s.io/client-go") || strings.HasPrefix(d, "sigs.k8s.io/controller-runtime") {
				t.Errorf("%s links %s", p.ImportPath, d)
			}
		}
	}
}

func TestXDSImportsStandardLibraryOnly(t *testing.T) {
	for _, p := range list(t) {
		if p.ImportPath != module+"pkg/xds" {
			continue
		}
		for _, d := range p.Deps {
			if first, _, _ := strings.Cut(d, "/"); strings.Contains(first, ".") && d != p.ImportPath {
				t.Errorf("pkg/xds depends on %s", d)
			}
		}
	}
}
