package intercept

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// stream of pushes: one connection's bytes, n responses of 5,000 clusters.
func pushBytes(tb testing.TB, n int) (head, push []byte) {
	tb.Helper()
	c := (&Observer{in: &inspector{tap: &memory{}, stats: &Stats{}, clock: time.Now, budget: &budget{stats: &Stats{}}}}).Conn("")
	w := newFrameWriter(c.Down)
	_ = w.WriteSettings()
	_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: w.block(":status", "200"), EndHeaders: true})
	head = slices.Clone(w.buf.Bytes())
	w.buf.Reset()
	msg := deltaResponse(5000, 1180)
	for chunk := range slices.Chunk(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(msg))), msg...), 16<<10) {
		_ = w.WriteData(1, false, chunk)
	}
	for range n {
		push = append(push, w.buf.Bytes()...)
	}
	return head, push
}

// BenchmarkRelay sends pushes of 6 MB through each mode in turn and reports time
// and CPU of the whole process as ratios to splice.
func BenchmarkRelay(b *testing.B) {
	head, push := pushBytes(b, 1)
	modes := []string{"splice", "copy", "observed"}
	conns := map[string][2]net.Conn{}
	for _, m := range modes {
		tap := &memory{}
		c := Config{}
		switch m {
		case "copy":
			c.Observer = newTestObserver(b, tap)
		case "observed":
			c.Observer = newTestObserver(b, tap)
		}
		client, server := pair(b, "tcp", c)
		first := []byte("GET / HTTP/1.1\r\n") // not observed
		if m == "observed" {
			first = clientHead()
		}
		_, _ = client.Write(first)
		_, _ = io.ReadFull(server, make([]byte, len(first)))
		_, _ = server.Write(head)
		_, _ = io.ReadFull(client, make([]byte, len(head)))
		conns[m] = [2]net.Conn{client, server}
	}
	buf := make([]byte, len(push))
	wall, cpu := map[string]time.Duration{}, map[string]time.Duration{}
	b.SetBytes(int64(len(push) * len(modes)))
	for b.Loop() {
		for _, m := range modes {
			t0, c0 := time.Now(), cpuTime()
			done := make(chan struct{})
			go func() {
				_, _ = conns[m][1].Write(push)
				close(done)
			}()
			_, _ = io.ReadFull(conns[m][0], buf)
			<-done
			wall[m] += time.Since(t0)
			cpu[m] += cpuTime() - c0
		}
	}
	for _, m := range modes[1:] {
		b.ReportMetric(float64(wall[m])/float64(wall["splice"]), m+"-time/splice")
		b.ReportMetric(float64(cpu[m])/float64(cpu["splice"]), m+"-cpu/splice")
	}
}

func clientHead() []byte {
	c := (&Observer{in: &inspector{tap: &memory{}, stats: &Stats{}, clock: time.Now, budget: &budget{stats: &Stats{}}}}).Conn("")
	w := newFrameWriter(c.Up)
	w.buf.WriteString(clientPreface)
	_ = w.WriteSettings()
	_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: w.block(requestHead(adsDelta)...), EndHeaders: true})
	return slices.Clone(w.buf.Bytes())
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkObserver is the observer alone on a push whose resources are known.
func BenchmarkObserver(b *testing.B) {
	head, push := pushBytes(b, 1)
	tap := &memory{}
	c := newTestObserver(b, tap).Conn("")
	c.Up.Feed(clientHead())
	c.Down.Feed(head)
	b.SetBytes(int64(len(push)))
	b.ReportAllocs()
	for b.Loop() {
		for chunk := range slices.Chunk(push, 64<<10) {
			c.Down.Feed(chunk)
		}
		tap.seen = nil
	}
}
