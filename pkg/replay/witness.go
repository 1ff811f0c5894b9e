package replay

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Witness answers, in a Namespace, in the place of every server that Envoy connects
// to: it says which address was dialled.
type Witness struct {
	lis net.Listener
	wg  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// StartWitness listens in a namespace until Close.
func StartWitness(n *Namespace) (*Witness, error) {
	l, err := n.Listen("0.0.0.0:" + witnessPort)
	if err != nil {
		return nil, fmt.Errorf("opening the witness's port: %w", err)
	}
	w := &Witness{lis: l, conns: map[net.Conn]bool{}}
	w.wg.Go(w.accept)
	return w, nil
}

func (w *Witness) accept() {
	for {
		c, err := w.lis.Accept()
		if err != nil {
			return
		}
		w.keep(c, true)
		w.wg.Go(func() {
			defer w.keep(c, false)
			w.serve(c)
		})
	}
}

func (w *Witness) keep(c net.Conn, open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if open {
		w.conns[c] = true
		return
	}
	delete(w.conns, c)
	_ = c.Close()
}

// patient is how long the witness lets a client speak first.
const patient = 300 * time.Millisecond

// serve says where the connection was meant to go, in HTTP to whoever speaks that.
func (w *Witness) serve(c net.Conn) {
	text := fmt.Sprintf("reached %s\n", dialled(c))
	_ = c.SetReadDeadline(time.Now().Add(patient))
	r := bufio.NewReader(c)
	head, _ := r.Peek(8) // less, or nothing, is no HTTP
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if !http1(string(head)) {
		_, _ = c.Write([]byte(text))
		_, _ = r.WriteTo(nothing{}) // until the client goes
		return
	}
	for {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if strings.TrimSpace(line) == "" {
				break
			}
		}
		if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(text), text); err != nil {
			return
		}
	}
}

func http1(head string) bool {
	for _, m := range []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH "} {
		if strings.HasPrefix(head, m) {
			return true
		}
	}
	return false
}

type nothing struct{}

func (nothing) Write(b []byte) (int, error) { return len(b), nil }

// Close ends it and its connections.
func (w *Witness) Close() {
	_ = w.lis.Close()
	w.mu.Lock()
	for c := range w.conns {
		_ = c.Close()
	}
	w.mu.Unlock()
	w.wg.Wait()
}
