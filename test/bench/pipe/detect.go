package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/xdsproxy/xdsproxy/pkg/intercept"
	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// keys is a tap that knows what it has seen and keeps nothing else.
type keys struct {
	mu   sync.RWMutex // guards seen
	seen map[xds.Key]bool
}

func (k *keys) Known(key xds.Key) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.seen[key]
}

func (k *keys) Offer(s xds.Sighting) bool {
	if s.Msg == nil {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range s.Msg.Chunks {
		k.seen[c.Key] = true
	}
	return true
}

// detectSection is the observer alone on a push of 20,000 resources, 1 % of them
// changed: which have changed?
func detectSection(_ context.Context, b *bench) error {
	rec, err := large()
	if err != nil {
		return err
	}
	all, err := rec.multiply(xds.ClusterType, 20_000, largeNames)
	if err != nil {
		return err
	}
	load := newPayload(xds.ClusterType, all)
	tap := &keys{seen: map[xds.Key]bool{}}
	o, err := intercept.NewObserver(intercept.ObserverConfig{Tap: tap})
	if err != nil {
		return err
	}
	conn := o.Conn("")
	defer conn.Close()
	if err := greet(conn); err != nil {
		return err
	}
	runs := 25
	if b.quick {
		runs = 8
	}
	var took, cpu []float64
	for i := range runs {
		load.churn(.01)
		wire, err := framed(load)
		if err != nil {
			return err
		}
		t, c := time.Now(), selfCPU()
		for chunk := range slices.Chunk(wire, 64<<10) {
			conn.Down.Feed(chunk)
		}
		if i > 0 { // the first is all new
			took, cpu = append(took, ms(time.Since(t))), append(cpu, ms(selfCPU()-c))
		}
	}
	if n := len(tap.seen); n < 20_000+200*(runs-1) {
		return fmt.Errorf("the observer has seen %d different resources: it does not read", n)
	}
	b.report.atMost("change detection, 20,000 resources", 5, median(cpu), "ms").over(spread{median(cpu), quantile(cpu, .25), quantile(cpu, .75), len(cpu)}).Note =
		fmt.Sprintf("%.1f MB, 200 changed; HTTP/2, gRPC, protobuf, hashes and lookups; CPU time; %.1f ms by the clock", float64(len(load.buf))/mb, median(took))
	return nil
}

// greet feeds what stands at the beginning of a connection.
func greet(c *intercept.Conn) error {
	var up, down bytes.Buffer
	up.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&up, nil)
	err := f.WriteSettings()
	if err == nil {
		err = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":method", "POST", ":scheme", "http", ":path", adsMethod,
			":authority", "istiod", "content-type", "application/grpc", "te", "trailers")})
	}
	d := http2.NewFramer(&down, nil)
	if err == nil {
		err = d.WriteSettings()
	}
	if err == nil {
		err = d.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "200", "content-type", "application/grpc")})
	}
	c.Up.Feed(up.Bytes())
	c.Down.Feed(down.Bytes())
	return err
}

func block(pairs ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return b.Bytes()
}

// framed is a push in frames of 16 KiB.
func framed(p *payload) ([]byte, error) {
	msg := append([]byte{0, byte(len(p.buf) >> 24), byte(len(p.buf) >> 16), byte(len(p.buf) >> 8), byte(len(p.buf))}, p.buf...)
	var out bytes.Buffer
	f := http2.NewFramer(io.Writer(&out), nil)
	for chunk := range slices.Chunk(msg, 16<<10) {
		if err := f.WriteData(1, false, chunk); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}
