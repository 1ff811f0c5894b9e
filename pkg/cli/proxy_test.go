package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/xdsproxy/xdsproxy/pkg/record"
	"github.com/xdsproxy/xdsproxy/pkg/store"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// syncBuffer collects what a command says while it runs.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// runningProxy is a `xdsproxy proxy` in this process.
type runningProxy struct {
	t      *testing.T
	out    syncBuffer
	errs   syncBuffer
	cancel context.CancelFunc
	done   chan error
}

func startTestProxy(t *testing.T, o proxyOptions) *runningProxy {
	t.Helper()
	return startTestProxyAt(t, o, time.Now)
}

func startTestProxyAt(t *testing.T, o proxyOptions, now func() time.Time) *runningProxy {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &runningProxy{t: t, cancel: cancel, done: make(chan error, 1)}
	app := &App{Stdin: strings.NewReader(""), Stdout: &p.out, Stderr: &p.errs, Now: now,
		Getenv: func(string) string { return "" }, Width: func() int { return 0 }}
	if o.listen == "" {
		o.listen = "127.0.0.1:0"
	}
	if o.admin == "" {
		o.admin = "127.0.0.1:0"
	}
	o.logLevel, o.opaque = "debug", "bytes"
	go func() { p.done <- runProxy(ctx, app, o) }()
	t.Cleanup(cancel)
	p.await(`"message":"forwarding"`)
	return p
}

// await polls for a text on standard error.
func (p *runningProxy) await(text string) {
	p.t.Helper()
	awaitTrue(p.t, text, func() bool { return strings.Contains(p.errs.String(), text) })
}

func awaitTrue(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited 20 s for %s", what)
}

// said is a field of the line that says where the proxy listens.
func (p *runningProxy) said(field string) string {
	for l := range strings.Lines(p.errs.String()) {
		var v map[string]any
		if json.Unmarshal([]byte(l), &v) == nil && v["message"] == "forwarding" {
			s, _ := v[field].(string)
			return s
		}
	}
	return ""
}

// stop ends the proxy as the first signal does.
func (p *runningProxy) stop() {
	p.t.Helper()
	p.cancel()
	if err := <-p.done; err != nil {
		p.t.Errorf("proxy: %v\n%s", err, p.errs.String())
	}
}

func (p *runningProxy) get(path string) (int, string) {
	p.t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + p.said("admin") + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(b)
}

// rawCodec passes messages as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(b []byte, v any) error { *v.(*[]byte) = bytes.Clone(b); return nil }
func (rawCodec) Name() string                    { return "proto" }

// played is a recorded session's lines.
type played struct {
	Stream uint64
	Event  string
	Method string
	Raw    []byte
	do     func() // event "do"
}

func readSession(t *testing.T, name string) []played {
	t.Helper()
	f, err := os.Open(filepath.Join("../../test/recordings", name, "session.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []played
	for d := json.NewDecoder(bufio.NewReader(z)); d.More(); {
		var l played
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// replayServer hands each stream it gets to the test.
func replayServer(t *testing.T) (addr string, streams chan grpc.ServerStream) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	streams = make(chan grpc.ServerStream, 1)
	srv := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		streams <- s
		<-s.Context().Done()
		return s.Context().Err()
	}))
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return l.Addr().String(), streams
}

// play runs a session of one stream through the proxy, line by line.
func play(t *testing.T, proxy string, streams chan grpc.ServerStream, lines []played, atEnd ...func()) {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+proxy, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	var client grpc.ClientStream
	var server grpc.ServerStream
	for i, l := range lines {
		switch l.Event {
		case "open":
			client, err = cc.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, l.Method,
				grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(64<<20))
			if err == nil {
				server = <-streams
			}
		case "request":
			err = errors.Join(client.SendMsg(&l.Raw), same(server.RecvMsg, l.Raw))
		case "do":
			l.do()
		case "response":
			err = errors.Join(server.SendMsg(&l.Raw), same(client.RecvMsg, l.Raw))
		}
		if err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
	}
	for _, f := range atEnd {
		f()
	}
}

func same(receive func(any) error, want []byte) error {
	var got []byte
	if err := receive(&got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("received %d other bytes, want %d", len(got), len(want))
	}
	return nil
}

// history reads a store back.
func storedRecords(t *testing.T, dir string) (*store.Reader, xds.Sidecar, []xds.Record) {
	t.Helper()
	r, err := store.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	ids, err := r.Sidecars()
	if err != nil || len(ids) == 0 {
		t.Fatalf("sidecars %v, %v", ids, err)
	}
	var all []xds.Record
	for rec, err := range r.Records(ids[0], 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec)
	}
	return r, ids[0], all
}

// TestProxyRecords plays a recorded session through the proxy twice: the store
// gives back what was sent, and the second run goes on where the first ended.
func TestProxyRecords(t *testing.T) {
	lines := readSession(t, "02-seed-mysql-sotw")
	var want [][]byte
	for _, l := range lines {
		if l.Event == "response" {
			want = append(want, l.Raw)
		}
	}
	dir := filepath.Join(t.TempDir(), "store")
	upstream, streams := replayServer(t)
	for run := 1; run <= 2; run++ {
		p := startTestProxy(t, proxyOptions{upstream: upstream, store: dir})
		play(t, p.said("listen"), streams, lines)
		p.await("recording")
		checkMetrics(t, p, len(want))
		p.stop()
		checkStored(t, dir, want, run)
	}
	if rep, err := store.Verify(dir); err != nil || !rep.OK() {
		t.Errorf("verify: %v, %+v", err, rep.Problems)
	}
}

func checkMetrics(t *testing.T, p *runningProxy, pushes int) {
	t.Helper()
	if status, body := p.get("/readyz"); status != 200 || body != "ok\n" {
		t.Errorf("ready: %d %q", status, body)
	}
	awaitTrue(t, "metrics", func() bool {
		_, body := p.get("/metrics")
		return strings.Contains(body, fmt.Sprint("xdsproxy_responses_total ", pushes, "\n")) && strings.Contains(body, "xdsproxy_recording 1\n")
	})
}

func checkStored(t *testing.T, dir string, want [][]byte, run int) {
	t.Helper()
	r, id, recs := storedRecords(t, dir)
	var pushes, gaps, closes int
	for _, rec := range recs {
		switch rec.Kind {
		case xds.KindPush:
			raw, missing := record.EncodePush(rec.Push, func(d xds.Digest) ([]byte, bool) {
				b, ok, err := r.Body(d)
				return b, ok && err == nil
			})
			if len(missing) > 0 || !bytes.Equal(raw, want[pushes%len(want)]) {
				t.Errorf("run %d, push %d: %d bytes, %d missing, want %d", run, pushes+1, len(raw), len(missing), len(want[pushes%len(want)]))
			}
			pushes++
			if rec.Push.Number != uint64(pushes) {
				t.Errorf("push %d has number %d", pushes, rec.Push.Number)
			}
		case xds.KindGap:
			gaps++
		case xds.KindClose:
			closes++
		}
	}
	if pushes != run*len(want) || gaps != run-1 || closes != run || id.Name() == "?" {
		t.Errorf("run %d: %d pushes, want %d; %d gaps, %d closes of %v", run, pushes, run*len(want), gaps, closes, id)
	}
}

// TestProxyAfterCrash starts on a store as a killed proxy leaves it: the streams
// that were open have ended, and a gap says that something may be missing.
func TestProxyAfterCrash(t *testing.T) {
	dir, crashed := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "crashed")
	lines := readSession(t, "13-istio-filters")
	lines = lines[:len(lines)-1] // the close
	upstream, streams := replayServer(t)
	p := startTestProxy(t, proxyOptions{upstream: upstream, store: dir})
	var pushes int
	play(t, p.said("listen"), streams, lines, func() {
		awaitTrue(t, "the records", func() bool {
			pushes = countKind(t, dir, xds.KindPush)
			return pushes > 0 && pushes == countPlayed(lines) && countKind(t, dir, xds.KindAnswer) == pushes
		})
		if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	})
	p.stop()
	if n := countKind(t, crashed, xds.KindClose); n != 0 {
		t.Fatalf("%d closes before", n)
	}
	p = startTestProxy(t, proxyOptions{upstream: upstream, store: crashed})
	p.await(`"recording"`)
	p.stop()
	_, id, recs := storedRecords(t, crashed)
	last := recs[len(recs)-1]
	end := recs[len(recs)-2]
	if last.Kind != xds.KindGap || last.Gap.Reason != "recorder was not running" || end.Kind != xds.KindClose || end.Sidecar != id || end.Stream == 0 {
		t.Errorf("ends with %v %+v, %v %+v", end.Kind, end.Close, last.Kind, last.Gap)
	}
}

func countPlayed(lines []played) (n int) {
	for _, l := range lines {
		if l.Event == "response" {
			n++
		}
	}
	return n
}

func countKind(t *testing.T, dir string, k xds.Kind) (n int) {
	t.Helper()
	r, err := store.OpenReader(dir)
	if err != nil {
		return 0
	}
	defer r.Close()
	ids, err := r.Sidecars()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		for rec, err := range r.Records(id, 0) {
			if err == nil && rec.Kind == k {
				n++
			}
		}
	}
	return n
}

// TestProxyUpstreamDown: it starts, says so, and is not ready until it is there.
func TestProxyUpstreamDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	p := startTestProxy(t, proxyOptions{upstream: addr, relayOnly: true})
	p.await("cannot be reached now [XP022]")
	if status, body := p.get("/readyz"); status != 503 {
		t.Errorf("ready: %d %q", status, body)
	}
	if status, _ := p.get("/healthz"); status != 200 {
		t.Errorf("health: %d", status)
	}
	p.stop()
}

func TestProxyRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	cases := map[string]struct {
		o    proxyOptions
		code Code
	}{
		"no upstream":      {proxyOptions{listen: "127.0.0.1:0"}, CodeUsage},
		"bad listen":       {proxyOptions{listen: "15099", upstream: "a:1"}, CodeUsage},
		"bad upstream":     {proxyOptions{listen: "127.0.0.1:0", upstream: "unix://x"}, CodeUsage},
		"not loopback":     {proxyOptions{listen: "0.0.0.0:0", upstream: "a:1"}, CodeInsecureListen},
		"any address":      {proxyOptions{listen: ":0", upstream: "a:1"}, CodeInsecureListen},
		"certificate":      {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", cert: "c", key: "k"}, CodeInsecureListen},
		"key missing":      {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", cert: "c"}, CodeUsage},
		"no CA":            {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", ca: "/nonexistent"}, CodeCertificate},
		"no server name":   {proxyOptions{listen: "127.0.0.1:0", upstream: "unix:///a", upstreamTLS: true}, CodeUsage},
		"port in use":      {proxyOptions{listen: busy.Addr().String(), upstream: "a:1", relayOnly: true, admin: "off"}, CodePortInUse},
		"no TLS key":       {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", listenCert: "x"}, CodeUsage},
		"CA without TLS":   {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", clientCA: "x"}, CodeUsage},
		"name without CA":  {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", clientNames: []string{"x"}}, CodeUsage},
		"bad name":         {proxyOptions{listen: "0.0.0.0:0", upstream: "a:1", listenCert: "x", listenKey: "x", clientCA: "x", clientNames: []string{"[x"}}, CodeUsage},
		"TLS, no file":     {proxyOptions{listen: "0.0.0.0:0", upstream: "a:1", listenCert: "x", listenKey: "x"}, CodeCertificate},
		"our name for all": {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", cert: "x", key: "x"}, CodeInsecureListen},
		"all, over TLS":    {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", cert: "x", key: "x", listenCert: "x", listenKey: "x"}, CodeInsecureListen},
		"checked, no file": {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", cert: "x", key: "x", listenCert: "x", listenKey: "x", clientCA: "x"}, CodeCertificate},
		"open admin":       {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", admin: "0.0.0.0:0"}, CodeInsecureListen},
		"bad admin":        {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", admin: "15098"}, CodeUsage},
		"no directory":     {proxyOptions{listen: "unix:///nonexistent/x.sock", upstream: "a:1", relayOnly: true, admin: "off"}, CodeOpen},
		"admin in use":     {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", relayOnly: true, admin: busy.Addr().String()}, CodePortInUse},
		"events, no store": {proxyOptions{listen: "127.0.0.1:0", upstream: "a:1", relayOnly: true, eventsStdout: true}, CodeUsage},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.o.logLevel = "info"
			app := &App{Stderr: io.Discard, Stdout: io.Discard, Now: time.Now, Getenv: func(string) string { return "" }}
			err := runProxy(t.Context(), app, c.o)
			var e *Error
			if !errors.As(err, &e) || e.Code != c.code || e.Try == "" {
				t.Errorf("%v, want %s", err, c.code)
			}
		})
	}
}

// TestJudge: the judge is started on the store, again after it failed, and ended
// with the proxy.
func TestJudge(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "self")
	const body = `#!/bin/sh
echo "$GOMEMLIMIT $*"
[ -e "$0.once" ] || { : > "$0.once"; exit 3; }
until [ "$(cat /proc/self/oom_score_adj)" = 800 ]; do :; done
echo 800
exec sleep 60
`
	if err := os.WriteFile(script, []byte(body), 0o700); err != nil {
		t.Fatal(err)
	}
	var out, errs syncBuffer
	p := &proxy{app: &App{Stdout: &out, Stderr: &errs}, stderr: &errs, o: proxyOptions{eventsStdout: true}, opened: make(chan struct{}),
		self: func() (string, error) { return script, nil }}
	p.dir.Store(&dir)
	close(p.opened)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		p.judge(ctx)
		close(done)
	}()
	want := "256MiB events -f --store " + dir + " -o jsonl --resume " + dir + "/events.resume\n"
	awaitTrue(t, "the second start", func() bool { return out.String() == want+want+"800\n" })
	cancel()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the judge was not ended")
	}
}
