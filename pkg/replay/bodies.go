package replay

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/xdsproxy/xdsproxy/pkg/decode"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// redacted begins what stands in a recording for a secret.
var redacted = []byte("xdsproxy-redacted:")

// Bodies gives recorded resources the form in which they are served: the recorded
// bytes, but where these cannot work any more. Safe for concurrent use.
type Bodies struct {
	read    func(xds.Digest) ([]byte, bool)
	secrets *secrets

	mu      sync.Mutex // guards all below
	drop    map[string]bool
	dropped map[string]bool   // of drop, what was there to drop
	missing map[string]bool   // "LDS name": not recorded
	failed  map[string]string // "LDS name" -> why it cannot be served
}

// NewBodies serves what read finds.
func NewBodies(read func(xds.Digest) ([]byte, bool)) (*Bodies, error) {
	s, err := newSecrets()
	if err != nil {
		return nil, err
	}
	return &Bodies{read: read, secrets: s, drop: map[string]bool{}, dropped: map[string]bool{},
		missing: map[string]bool{}, failed: map[string]string{}}, nil
}

// hasFiles reports whether certificates may be files.
func hasFiles(raw []byte) bool {
	for _, end := range []string{".pem", ".crt", ".key"} {
		if bytes.Contains(raw, []byte(end)) {
			return true
		}
	}
	return false
}

// errNotRecorded says that there are no bytes to serve.
var errNotRecorded = errors.New("body not recorded")

// Serve is a resource for a client that asked for the type by url. altered reports
// whether more of it was replaced than secrets.
func (b *Bodies) Serve(url, name string, d xds.Digest) (body *anypb.Any, altered bool, err error) {
	if xds.Canonical(url) == xds.SecretType {
		body, err = b.secrets.named(name, b.recorded(d))
		return body, false, err
	}
	raw, ok := b.read(d)
	if !ok {
		b.mu.Lock()
		b.missing[xds.ShortType(url)+" "+name] = true
		b.mu.Unlock()
		return nil, false, errNotRecorded
	}
	body = new(anypb.Any)
	if err := proto.Unmarshal(raw, body); err != nil {
		return nil, false, fmt.Errorf("reading the recorded %s: %w", name, err)
	}
	out, altered, err := b.adapt(url, body, raw)
	if err != nil {
		b.mu.Lock()
		b.failed[xds.ShortType(url)+" "+name] = err.Error()
		b.mu.Unlock()
	}
	return out, altered, err
}

// adapt changes a resource where it could not work as it is.
func (b *Bodies) adapt(url string, body *anypb.Any, raw []byte) (*anypb.Any, bool, error) {
	b.mu.Lock()
	drops := b.mayDrop(raw)
	b.mu.Unlock()
	old := body.GetTypeUrl() != url && xds.Canonical(body.GetTypeUrl()) == url
	secret, files := bytes.Contains(raw, redacted), hasFiles(raw)
	if !drops && !old && !secret && !files {
		return body, false, nil
	}
	m, err := decode.Any(body)
	if err != nil {
		return body, false, nil // it is served as it is
	}
	e := &edit{old: old, secret: secret, files: files, secrets: b.secrets, drop: b.dropping()}
	if err := e.message(m.ProtoReflect()); err != nil {
		return nil, false, err
	}
	if !drops && !old && !secret && !e.made {
		return body, false, nil
	}
	out, err := anypb.New(m)
	if err != nil {
		return nil, false, fmt.Errorf("writing the altered resource: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := range e.dropped {
		b.dropped[n] = true
	}
	return out, len(e.dropped) > 0 || old || e.made, nil
}

// drops counts what is to be left out.
func (b *Bodies) drops() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.drop)
}

// mayDrop reports whether something to drop may stand in the bytes. Callers hold the
// lock.
func (b *Bodies) mayDrop(raw []byte) bool {
	for n := range b.drop {
		if bytes.Contains(raw, []byte(n)) {
			return true
		}
	}
	return false
}

func (b *Bodies) dropping() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[string]bool, len(b.drop))
	for n := range b.drop {
		out[n] = true
	}
	return out
}

// Drop leaves out the extensions of a name or a type (without the prefix of its URL)
// from now on, and reports whether any of them is new.
func (b *Bodies) Drop(names ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	fresh := false
	for _, n := range names {
		fresh = fresh || !b.drop[n]
		b.drop[n] = true
	}
	return fresh
}

// Dropped lists what was left out of what was served, sorted.
func (b *Bodies) Dropped() []string { return b.list(func() map[string]bool { return b.dropped }) }

// Missing lists the resources that could not be served because their bodies were
// not recorded, sorted.
func (b *Bodies) Missing() []string { return b.list(func() map[string]bool { return b.missing }) }

func (b *Bodies) list(of func() map[string]bool) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for n := range of() {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// recorded opens a recorded resource; nil where it is not there or not readable.
func (b *Bodies) recorded(d xds.Digest) proto.Message {
	raw, ok := b.read(d)
	if !ok {
		return nil
	}
	body := new(anypb.Any)
	if proto.Unmarshal(raw, body) != nil {
		return nil
	}
	m, err := decode.Any(body)
	if err != nil {
		return nil
	}
	return m
}

// Shown is what Envoy's admin interface shows of a resource that Serve serves; nil
// where that is the recorded bytes.
func (b *Bodies) Shown(url, name string, d xds.Digest) (proto.Message, error) {
	raw, ok := b.read(d)
	if !ok {
		return nil, errNotRecorded
	}
	secret := bytes.Contains(raw, redacted)
	body, altered, err := b.Serve(url, name, d)
	if err != nil || !altered && !secret {
		return nil, err
	}
	if secret || hasFiles(raw) {
		m, err := decode.Any(body)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		if err := (&edit{mask: true}).message(m.ProtoReflect()); err != nil {
			return nil, err
		}
		return anypb.New(m)
	}
	return body, nil
}
