package test

import (
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var updateDocs = flag.Bool("update-docs", false, "write what the commands print into the documents")

// documents are the Markdown files whose ```console blocks are run.
func documents(t *testing.T) []string {
	t.Helper()
	files := []string{"../README.md"}
	err := filepath.WalkDir("../docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestDocumentsTellTheTruth runs every command of every ```console block in the
// documents, from the project's root, and compares what it prints.
func TestDocumentsTellTheTruth(t *testing.T) {
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "xdsproxy"), "../cmd/xdsproxy").CombinedOutput(); err != nil {
		t.Fatalf("building xdsproxy: %v\n%s", err, out)
	}
	ran := 0
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		now, n := rerun(t, string(text), bin)
		ran += n
		switch {
		case now == string(text):
		case *updateDocs:
			if err := os.WriteFile(file, []byte(now), 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("%s does not show what its commands print (run: go test ./test -run Documents -update-docs)\n%s", file, firstDifference(string(text), now))
		}
	}
	if ran == 0 {
		t.Fatal("no command found in any document")
	}
}

// rerun returns text with the output of each console block as it is now.
func rerun(t *testing.T, text, bin string) (string, int) {
	t.Helper()
	const open, end = "```console\n", "```"
	var out strings.Builder
	n := 0
	for {
		before, rest, found := strings.Cut(text, open)
		out.WriteString(before)
		if !found {
			return out.String(), n
		}
		block, after, _ := strings.Cut(rest, end)
		out.WriteString(open)
		for l := range strings.Lines(block) {
			if cmd, ok := strings.CutPrefix(l, "$ "); ok {
				n++
				out.WriteString(l + run(t, strings.TrimSpace(cmd), bin))
			}
		}
		out.WriteString(end)
		text = after
	}
}

// run executes one command line; a non-zero exit code is shown as people see it.
func run(t *testing.T, command, bin string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", command)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "XDSPROXY_STORE=", "XDG_STATE_HOME="+t.TempDir(), "COLUMNS=80")
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited { //nolint:errorlint // exec returns it bare
		t.Fatalf("%s: %v", command, err)
	}
	return string(out)
}

func firstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return "written: " + as[i] + "\nprinted: " + bs[i]
		}
	}
	return "one is longer"
}
