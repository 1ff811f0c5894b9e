package cli

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	logLines = 256         // that may wait
	logEnd   = time.Second // for what waits at the end
)

// logQueue stands between the proxy and its standard error, which may be a pipe
// that nobody reads. Writing to it never waits: when it is full the newest lines
// are lost, and the next one that is written says how many.
type logQueue struct {
	to    io.Writer
	lines chan []byte
	lost  atomic.Uint64
	ended chan struct{} // no more lines
	done  chan struct{} // all is written
}

func newLogQueue(to io.Writer) *logQueue {
	q := &logQueue{to: to, lines: make(chan []byte, logLines), ended: make(chan struct{}), done: make(chan struct{})}
	go q.run()
	return q
}

// Write takes a copy of b, or counts it as lost. It never fails: there is nobody
// to tell.
func (q *logQueue) Write(b []byte) (int, error) {
	select {
	case q.lines <- bytes.Clone(b):
	default:
		q.lost.Add(1)
	}
	return len(b), nil
}

func (q *logQueue) run() {
	defer close(q.done)
	for {
		select {
		case l := <-q.lines:
			q.write(l)
		case <-q.ended:
			q.rest()
			return
		}
	}
}

// rest writes what waits.
func (q *logQueue) rest() {
	for {
		select {
		case l := <-q.lines:
			q.write(l)
		default:
			return
		}
	}
}

func (q *logQueue) write(line []byte) {
	if n := q.lost.Swap(0); n > 0 {
		line = fmt.Appendf(line, "{\"level\":\"warn\",\"message\":\"%d lines of this log are lost: nobody read it in time\"}\n", n)
	}
	_, _ = q.to.Write(line) // there is nobody to tell
}

// close writes what waits, for as long as somebody reads it.
func (q *logQueue) close() {
	close(q.ended)
	t := time.NewTimer(logEnd)
	defer t.Stop()
	select {
	case <-q.done:
	case <-t.C:
	}
}
