package cli

import (
	"os"
	"path/filepath"
	"testing"
)

func TestParseSide(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "a:b.json")
	if err := os.WriteFile(odd, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]sideName{
		"web-1.shop":                         {sidecar: "web-1.shop"},
		"web-1.shop:41":                      {sidecar: "web-1.shop", revision: "41"},
		"web-1.shop:HEAD~2":                  {sidecar: "web-1.shop", revision: "HEAD~2"},
		"web-1.shop:@{2026-11-22T19:28:14Z}": {sidecar: "web-1.shop", revision: "@{2026-11-22T19:28:14Z}"},
		dir:                                  {path: dir},
		dir + ":41":                          {path: dir, revision: "41"},
		dir + ":web-1.shop":                  {path: dir, sidecar: "web-1.shop"},
		dir + ":web-1.shop:@{10m}":           {path: dir, sidecar: "web-1.shop", revision: "@{10m}"},
		odd:                                  {path: odd},
		odd + ":web:7":                       {path: odd, sidecar: "web", revision: "7"},
		"no/such/file.jsonl:web":             {sidecar: "no/such/file.jsonl:web"},
		"sidecar~10.0.0.1~a.b~b.svc.cluster.local": {sidecar: "sidecar~10.0.0.1~a.b~b.svc.cluster.local"},
	} {
		if got := parseSide(text); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}
