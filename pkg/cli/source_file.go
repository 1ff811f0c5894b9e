package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/configdump"
	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/state"
	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/traffic"
	"github.com/xdsproxy/xdsproxy/pkg/transcript"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// headBytes is how much of a file is looked at to tell what it is.
const headBytes = 4096

// openFile reads a transcript or a config_dump.
func openFile(app *App, path string) (*source, error) {
	in, name, done, err := openInput(app, path)
	if err != nil {
		return nil, err
	}
	defer done()
	head, err := in.Peek(headBytes)
	trimmed := bytes.TrimLeft(head, " \t\r\n\ufeff")
	switch {
	case len(trimmed) == 0 && err != nil && !errors.Is(err, io.EOF):
		return nil, damaged(name, err)
	case len(trimmed) == 0:
		return nil, Fail(CodeBadFormat, "it is empty", "xdsproxy export writes a transcript", "%s is not a history", name)
	case trimmed[0] != '{':
		return nil, Fail(CodeBadFormat, "it does not start with a JSON object", "a transcript from xdsproxy export, or curl localhost:15000/config_dump?include_eds", "%s is not a history", name)
	case configdump.IsDump(head):
		return readDump(app, in, name)
	}
	return readTranscript(app, in, name)
}

// openInput opens a file, or standard input for "-", and unpacks it.
func openInput(app *App, path string) (in *bufio.Reader, name string, done func(), err error) {
	raw, name, done := app.Stdin, "standard input", func() {}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, path, nil, openFailure(path, err)
		}
		if st, err := f.Stat(); err == nil && st.IsDir() {
			_ = f.Close()
			return nil, path, nil, Fail(CodeOpen, "it is a directory", "--store "+path, "cannot read %s as a file", path)
		}
		raw, name, done = f, path, func() { _ = f.Close() }
	}
	in, err = unpack(bufio.NewReaderSize(raw, 1<<16))
	if err != nil {
		done()
		return nil, name, nil, damaged(name, err)
	}
	return in, name, done, nil
}

func damaged(name string, err error) error {
	return Fail(CodeBroken, err.Error(), "fetch or copy it again", "%s is damaged from its first byte on", name)
}

func unpack(in *bufio.Reader) (*bufio.Reader, error) {
	head, _ := in.Peek(4) // a shorter file is not packed
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		return bufio.NewReaderSize(z, 1<<16), err
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
		return bufio.NewReaderSize(z, 1<<16), err
	}
	return in, nil
}

func readTranscript(app *App, in io.Reader, name string) (*source, error) {
	src, err := transcript.Read(in, name, transcript.Config{})
	if src == nil {
		return nil, err
	}
	for _, w := range src.Warnings() {
		app.Warn("%s", w)
	}
	return &source{Source: src, name: name, broken: err}, nil
}

func readDump(app *App, in io.Reader, name string) (*source, error) {
	b, err := io.ReadAll(in)
	if err != nil {
		return nil, Fail(CodeBroken, err.Error(), "a config_dump can only be read whole", "%s ends early", name)
	}
	var all []*configdump.Dump
	for dec := json.NewDecoder(bytes.NewReader(b)); ; {
		var one json.RawMessage
		err := dec.Decode(&one)
		if err == io.EOF { //nolint:errorlint // Decode returns it bare
			break
		}
		var d *configdump.Dump
		if err == nil {
			d, err = configdump.Read(one)
		}
		if err != nil {
			return nil, Fail(CodeBroken, err.Error(), "curl localhost:15000/config_dump?include_eds", "%s is no readable config_dump", name)
		}
		for _, w := range d.Warnings {
			app.Warn("%s: %s", name, w)
		}
		all = append(all, d)
	}
	last := all[len(all)-1]
	s := &source{name: name, dumps: all, env: traffic.Env{Static: last.Static, Resolved: last.Resolved, Lost4: last.Lost4}}
	return s, s.joinDumps(state.New(nil))
}

// joinDumps makes config_dumps, one behind the other in a file, moments of one
// history, behind what is known already.
func (s *source) joinDumps(known *state.Fold) error {
	j := configdump.NewJoiner(func(id xds.Sidecar) (*state.Snapshot, time.Time) {
		v, _ := known.View(id)
		return v.Accepted, v.LastSeen
	})
	m := new(record.Memory)
	for _, d := range s.dumps {
		if err := m.Append(j.Next(d), d.Bodies); err != nil {
			return fmt.Errorf("taking in %s: %w", s.name, err)
		}
	}
	s.Source = m
	return nil
}

// addBootstrap reads --bootstrap.
func (f *sourceFlags) addBootstrap(s *source) error {
	if f.bootstrap == "" {
		return nil
	}
	in, name, done, err := openInput(s.app, f.bootstrap)
	if err != nil {
		return err
	}
	defer done()
	b, err := io.ReadAll(in)
	if err != nil {
		return damaged(name, err)
	}
	if configdump.IsDump(b[:min(len(b), headBytes)]) {
		d, err := configdump.Read(b)
		if err != nil {
			return Fail(CodeBadFormat, err.Error(), "curl localhost:15000/config_dump?include_eds", "cannot read the config_dump %s", name)
		}
		s.env.Static = d.Static
		return nil
	}
	var boot bootstrapv3.Bootstrap
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, &boot); err != nil {
		return Fail(CodeBadFormat, err.Error(), "the JSON that Envoy was started with, or a config_dump", "cannot read the bootstrap %s", name)
	}
	s.env.Static = []proto.Message{}
	for _, c := range boot.GetStaticResources().GetClusters() {
		s.env.Static = append(s.env.Static, c)
	}
	for _, l := range boot.GetStaticResources().GetListeners() {
		s.env.Static = append(s.env.Static, l)
	}
	return nil
}

// openStore reads a store. An end that was never finished is told; other damage
// also shows in the exit status.
func openStore(app *App, dir string) (*source, error) {
	if err := statFailure(dir); err != nil {
		return nil, err
	}
	r, err := store.OpenReader(dir)
	if err != nil {
		return nil, readFailure(dir, err)
	}
	s := &source{Source: r, name: dir, live: true, closer: r.Close}
	for _, p := range r.Problems() {
		if p.Torn {
			app.Warn("%s: %v", dir, p)
		} else {
			s.broke(p)
		}
	}
	return s, nil
}

// failure gives the errors of reading their form.
func (s *source) failure(err error) error {
	var line *transcript.LineError
	if errors.As(err, &line) {
		return Fail(CodeBroken, line.Err.Error(), "the lines before it were used; xdsproxy import keeps them",
			"%s is broken at line %d (byte %d)", line.Name, line.Line, line.Offset)
	}
	return readFailure(s.name, err)
}

func readFailure(dir string, err error) error {
	var newer *store.NewerVersionError
	var damage *store.DamageError
	switch {
	case errors.As(err, &newer):
		return Fail(CodeNewer, err.Error(), "use the version of xdsproxy that wrote it, or a newer one", "cannot read the store %s", dir)
	case errors.As(err, &damage):
		return Fail(CodeStoreDamaged, err.Error(), "xdsproxy store verify --store "+dir, "the store %s is damaged", dir)
	}
	return err
}
