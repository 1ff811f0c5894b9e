package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

func TestTable(t *testing.T) {
	red := Palette{on: true}.Red("bad")
	tab := &Table{Right: []int{1}}
	tab.Row("NAME", "N", "WHAT")
	tab.Row("a", "7", red)
	tab.Row("é…", "10", "fine")
	var b strings.Builder
	if _, err := tab.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	want := "NAME   N  WHAT\na      7  " + red + "\né…    10  fine\n"
	if b.String() != want {
		t.Errorf("%q\n%q", b.String(), want)
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	tab := &Table{Width: 24, Flex: 1}
	tab.Row("NAME", "DESTINATION", "STATE")
	tab.Row("web-1", Palette{on: true}.Green("outbound|3306||mysql.demo"), "ok")
	var b strings.Builder
	if _, err := tab.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := seen(strings.TrimSuffix(line, "\n")); n > 24 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if !strings.Contains(b.String(), "…"+reset) {
		t.Errorf("colour goes on behind a cut cell: %q", b.String())
	}
}

func TestWrap(t *testing.T) {
	var b strings.Builder
	if err := wrapTo(&b, "one two three averyveryverylongword end", "- ", "  ", 12); err != nil {
		t.Fatal(err)
	}
	if want := "- one two\n  three\n  averyveryverylongword\n  end\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestPalette(t *testing.T) {
	for _, c := range []struct {
		color string
		env   map[string]string
		width int
		want  bool
	}{
		{"auto", nil, 80, true},
		{"auto", nil, 0, false},
		{"auto", map[string]string{"NO_COLOR": "1"}, 80, false},
		{"auto", map[string]string{"TERM": "dumb"}, 80, false},
		{"auto", map[string]string{"CLICOLOR_FORCE": "1"}, 0, true},
		{"auto", map[string]string{"CLICOLOR_FORCE": "0"}, 0, false},
		{"always", map[string]string{"NO_COLOR": "1"}, 0, true},
		{"never", map[string]string{"CLICOLOR_FORCE": "1"}, 80, false},
	} {
		app := &App{color: c.color, Getenv: func(k string) string { return c.env[k] }, Width: func() int { return c.width }}
		if p := app.Palette(); p.on != c.want || (p.Severity(xds.Critical) == "critical") == c.want {
			t.Errorf("%+v: colour %v", c, p.on)
		}
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		err  error
		exit int
		text string
	}{
		{nil, 0, ""},
		{ErrFound, 1, ""},
		{context.Canceled, 130, ""},
		{fmt.Errorf("doing this: %w", context.Canceled), 130, ""},
		{errors.New("the disk is full"), 2, "xdsproxy: the disk is full [XP001]\n"},
		{&fs.PathError{Op: "open", Path: "/x", Err: fs.ErrPermission}, 77, "xdsproxy: open /x: permission denied [XP012]\n"},
		{Fail(CodeUpstream, "it is down", "start it", "cannot reach %s", "istiod"), 69, "xdsproxy: cannot reach istiod [XP022]\nwhy: it is down\ntry: start it\n"},
		{fmt.Errorf("at start: %w", Usagef("", "no")), 64, "xdsproxy: no [XP002]\n"},
	} {
		var b strings.Builder
		if exit := report(&b, c.err, false); exit != c.exit || b.String() != c.text {
			t.Errorf("%v: exit %d, %q", c.err, exit, b.String())
		}
	}
	var b strings.Builder
	if exit := report(&b, Fail(CodeBroken, "a<b", "", "line 3"), true); exit != 65 || b.String() != `{"code":"XP010","message":"line 3","why":"a<b","try":""}`+"\n" {
		t.Errorf("exit %d, %q", exit, b.String())
	}
}

func TestWantsJSON(t *testing.T) {
	for args, want := range map[string]bool{
		"-o json": true, "-ojson": true, "-o=jsonl": true, "--output=json": true, "--output jsonl": true,
		"-o table": false, "-o": false, "": false, "-- -o json": false, "--file json": false, "-o json.gz": false,
	} {
		if got := wantsJSON(strings.Fields("events " + args)); got != want {
			t.Errorf("%q: %v", args, got)
		}
	}
}

func TestParseWatch(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1:3306": "10.0.0.1/32 3306", "10.0.0.1": "10.0.0.1/32 0", "10.0.0.7/8": "10.0.0.0/8 0", "10.0.0.0/8:443": "10.0.0.0/8 443",
		"[fd00::1]:443": "fd00::1/128 443", "fd00::/16": "fd00::/16 0",
	} {
		w, ok := parseWatch(in)
		if got := fmt.Sprintf("%s %d", w.Prefix, w.Port); !ok || got != want {
			t.Errorf("%q: %s, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "x", "10.0.0.0/8:", "10.0.0.0/8:99999", "mysql:3306"} {
		if w, ok := parseWatch(in); ok {
			t.Errorf("%q: %+v", in, w)
		}
	}
}
