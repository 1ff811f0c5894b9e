package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// EnvoyConfig says how an Envoy is started.
type EnvoyConfig struct {
	// Bin is the program. Required.
	Bin string
	// Dir is where its files go; it must exist. Required.
	Dir string
	// Bootstrap is its configuration. Required.
	Bootstrap *bootstrapv3.Bootstrap
	// In starts it in a network namespace. Default: in the one of this process.
	In *Namespace
}

// Envoy is a running one.
type Envoy struct {
	cmd    *exec.Cmd
	log    string
	admin  string
	client *http.Client
	done   chan struct{} // closed when it has ended
	end    error         // how, after done
}

// StartEnvoy runs an Envoy until Close.
func StartEnvoy(ctx context.Context, c EnvoyConfig) (*Envoy, error) {
	conf := filepath.Join(c.Dir, "envoy.json")
	b, err := protojson.Marshal(c.Bootstrap)
	if err != nil {
		return nil, fmt.Errorf("writing Envoy's bootstrap: %w", err)
	}
	if err := os.WriteFile(conf, b, 0o600); err != nil {
		return nil, fmt.Errorf("writing Envoy's bootstrap: %w", err)
	}
	e := &Envoy{log: filepath.Join(c.Dir, "envoy.log"), done: make(chan struct{}), client: &http.Client{Timeout: 30 * time.Second}}
	if c.In != nil {
		e.client.Transport = &http.Transport{DialContext: c.In.Dial}
	}
	log, err := os.Create(e.log)
	if err != nil {
		return nil, fmt.Errorf("opening Envoy's log: %w", err)
	}
	defer log.Close()
	addr := filepath.Join(c.Dir, "admin")
	e.cmd = exec.Command(c.Bin, "-c", conf, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning",
		"--drain-time-s", "45", "--drain-strategy", "immediate", "--admin-address-path", addr)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = dieWithUs()
	if err := e.start(c.In); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Bin, err)
	}
	go func() {
		e.end = e.cmd.Wait()
		close(e.done)
	}()
	if err := e.findAdmin(ctx, addr); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *Envoy) start(in *Namespace) error {
	if in == nil {
		return e.cmd.Start()
	}
	in.mark(e.cmd.SysProcAttr)
	return in.Do(e.cmd.Start)
}

// findAdmin waits for the file into which Envoy writes the address of its admin
// interface.
func (e *Envoy) findAdmin(ctx context.Context, path string) error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
			e.admin = strings.TrimSpace(string(b))
			return nil
		}
		if err := e.Alive(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s opened no admin interface in 20 s: %s", e.cmd.Path, e.lastWords())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Admin is the address of the admin interface, host:port.
func (e *Envoy) Admin() string { return e.admin }

// Log is the file that it writes its log to.
func (e *Envoy) Log() string { return e.log }

// ErrEnvoyEnded is wrapped by the error of an Envoy that is no longer there.
var ErrEnvoyEnded = errors.New("Envoy has ended")

// Alive returns nil while it runs.
func (e *Envoy) Alive() error {
	select {
	case <-e.done:
		return fmt.Errorf("%w (%s): %s", ErrEnvoyEnded, fmt.Sprint(e.end), e.lastWords())
	default:
		return nil
	}
}

// lastWords are the last lines of its log.
func (e *Envoy) lastWords() string {
	b, err := os.ReadFile(e.log)
	if err != nil {
		return "it left no log"
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-3):], []byte(" / ")))
}

// Dump is its /config_dump, endpoints included.
func (e *Envoy) Dump(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.admin+"/config_dump?include_eds", nil)
	if err != nil {
		return nil, fmt.Errorf("asking Envoy for its config_dump: %w", err)
	}
	r, err := e.client.Do(req)
	if err != nil {
		if gone := e.Alive(); gone != nil {
			return nil, gone
		}
		return nil, fmt.Errorf("asking Envoy for its config_dump: %w", err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("reading Envoy's config_dump: %w", err)
	}
	return b, nil
}

// Close ends it and waits until it has ended.
func (e *Envoy) Close() {
	e.client.CloseIdleConnections()
	_ = e.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-e.done:
	case <-time.After(5 * time.Second):
		_ = e.cmd.Process.Kill()
		<-e.done
	}
}

// ListenUnix opens the socket by which an Envoy reaches the replay.
func ListenUnix(dir string) (net.Listener, string, error) {
	path := filepath.Join(dir, "xds.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, "", fmt.Errorf("opening %s: %w", path, err)
	}
	return l, path, nil
}
