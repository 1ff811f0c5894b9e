package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// line is one line of `replay -o jsonl`.
type line struct {
	Event, Push, Type, Answer, Recorded, Message, Address, Namespace string
	Resources, Pushes                                                int
	Equal                                                            *bool
	Differences                                                      []any
	Names                                                            []string
	Altered                                                          bool
	Events                                                           []struct{ Kind string }
}

func (l line) number(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimPrefix(l.Push, "#"))
	if err != nil {
		t.Fatalf("push %q", l.Push)
	}
	return n
}

// session is a running replay.
type session struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan line
	all    []line
	stderr bytes.Buffer
}

func file(name string) string { return "../recordings/" + name + "/session.jsonl.gz" }

// start runs `replay` on a recording.
func start(t *testing.T, name string, args ...string) *session {
	t.Helper()
	s := &session{t: t, lines: make(chan line, 10000)}
	s.cmd = exec.Command(binary, append([]string{"replay", "--file", file(name), "-o", "jsonl", "-q"}, args...)...)
	s.cmd.Stderr = &s.stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGINT)
		end := time.AfterFunc(20*time.Second, func() { _ = s.cmd.Process.Kill() })
		_ = s.cmd.Wait()
		end.Stop()
	})
	go s.read(out)
	return s
}

func (s *session) read(out io.Reader) {
	defer close(s.lines)
	for sc := bufio.NewReader(out); ; {
		b, err := sc.ReadBytes('\n')
		if err != nil {
			return
		}
		var l line
		if err := json.Unmarshal(b, &l); err != nil {
			l = line{Event: "bad", Message: string(b)}
		}
		s.lines <- l
	}
}

// next is the next line; false when it has ended.
func (s *session) next() (line, bool) {
	s.t.Helper()
	select {
	case l, ok := <-s.lines:
		if ok {
			s.all = append(s.all, l)
		}
		return l, ok
	case <-time.After(150 * time.Second):
		s.t.Fatalf("nothing in 150 s after %d lines\n%s", len(s.all), s.stderr.String())
	}
	return line{}, false
}

// until reads up to a line of a kind.
func (s *session) until(event string) line {
	s.t.Helper()
	for {
		l, ok := s.next()
		if !ok {
			s.t.Fatalf("it ended without %q\n%s", event, s.stderr.String())
		}
		if l.Event == event {
			return l
		}
	}
}

// say writes a line to it.
func (s *session) say(word string) {
	s.t.Helper()
	if _, err := io.WriteString(s.in, word+"\n"); err != nil {
		s.t.Fatal(err)
	}
}

// end waits for its end and returns the exit status.
func (s *session) end() int {
	s.t.Helper()
	for {
		if _, ok := s.next(); !ok {
			break
		}
	}
	err := s.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return s.cmd.ProcessState.ExitCode()
}

// interrupt ends it as Ctrl-C does.
func (s *session) interrupt() int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		s.t.Fatal(err)
	}
	return s.end()
}

// of are the lines of a kind that were read.
func (s *session) of(event string) []line {
	var out []line
	for _, l := range s.all {
		if l.Event == event {
			out = append(out, l)
		}
	}
	return out
}

// pushed is one line of `log -o jsonl`.
type pushed struct {
	Push, Answer, Message string
	Time                  time.Time
}

// log lists the pushes of a recording.
func log(t *testing.T, name, sidecar string) []pushed {
	t.Helper()
	args := []string{"log", "--file", file(name), "-o", "jsonl", "-q"}
	if sidecar != "" {
		args = append(args, sidecar)
	}
	out, err := exec.Command(binary, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pushed
	for l := range strings.Lines(string(out)) {
		var p pushed
		if err := json.Unmarshal([]byte(l), &p); err != nil {
			t.Fatal(err)
		}
		if p.Push != "" {
			all = append(all, p)
		}
	}
	return all
}
