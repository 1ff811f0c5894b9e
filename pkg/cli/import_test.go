package cli

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func stringField(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

// TestImportOpaque: of a type that nobody here knows, import keeps the bytes, or
// their digest only, as the proxy does.
func TestImportOpaque(t *testing.T) {
	resource := stringField(stringField(nil, 1, xds.TypePrefix+"made.up.Type"), 2, "what-it-says")
	push := stringField(stringField(nil, 2, string(resource)), 4, xds.TypePrefix+"made.up.Type")
	file := filepath.Join(t.TempDir(), "session.jsonl")
	line := fmt.Sprintf(`{"t":"2026-11-22T19:00:00Z","stream":1,"event":"response","raw":%q}`, base64.StdEncoding.EncodeToString(push))
	if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for opaque, kept := range map[string]bool{"": true, "bytes": true, "digest": false} {
		dir := filepath.Join(t.TempDir(), "store")
		args := []string{"import", file, "--store", dir}
		if opaque != "" {
			args = append(args, "--opaque", opaque)
		}
		if r := run(t, "", args...); r.exit != ExitOK {
			t.Fatalf("%d %s", r.exit, r.err)
		}
		says := exported(t, dir)
		if strings.Contains(says, "what-it-says") != kept || strings.Contains(says, "xdsproxy-opaque:") == kept {
			t.Errorf("--opaque %s: %q", opaque, says)
		}
	}
	if r := run(t, "", "import", file, "--store", t.TempDir(), "--opaque", "half"); r.exit != ExitUsage {
		t.Errorf("--opaque half: %d", r.exit)
	}
}

// exported is what the messages of a store say, decoded.
func exported(t *testing.T, dir string) string {
	t.Helper()
	r := run(t, "", "export", "--store", dir)
	var out strings.Builder
	for l := range strings.Lines(r.stdout) {
		if _, raw, ok := strings.Cut(l, `"raw":"`); ok {
			raw, _, _ = strings.Cut(raw, `"`)
			b, err := base64.StdEncoding.DecodeString(raw)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(b)
		}
	}
	return out.String()
}
