package test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/xdsproxy/xdsproxy/pkg/cli"
)

var updateScripts = flag.Bool("update", false, "write what the commands print into the scripts")

// TestMain makes the program a command of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"xdsproxy": func() { os.Exit(cli.Main(context.Background(), cli.OSApp(), os.Args[1:])) },
	})
}

// TestScripts runs test/script/*.txtar. $REC is the folder of the recordings, and
// $S01, $S07, ... their sessions.
func TestScripts(t *testing.T) {
	rec, err := filepath.Abs("recordings")
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := filepath.Glob(filepath.Join(rec, "[0-9][0-9]-*", "session.jsonl.gz"))
	if err != nil || len(sessions) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "script", UpdateScripts: *updateScripts, RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exit": exitStatus},
		Setup: func(env *testscript.Env) error {
			env.Setenv("REC", rec)
			env.Setenv("HOME", env.WorkDir)
			for _, s := range sessions {
				name := filepath.Base(filepath.Dir(s))
				env.Setenv("S"+name[:2], s)
			}
			return nil
		},
	})
}

// exitStatus is the script command `exit N xdsproxy ARG...`: it runs a command and
// wants its exit status to be N.
func exitStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit STATUS COMMAND ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		got = -1
		var e *exec.ExitError
		if errors.As(err, &e) {
			got = e.ExitCode()
		}
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit status %d, want %s (%v)", got, args[0], err)
	}
}
