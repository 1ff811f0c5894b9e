package intercept

import (
	"context"
	"errors"
	"net"
	"sync"
)

// forward runs both directions and ends both connections as their peers ended
// them: a half-close as a half-close, a reset as a reset.
func (r *Relay) forward(hard context.Context, down, up net.Conn) {
	upward := &pump{src: down, dst: up, from: newSource(down, &r.buffers), bytes: &r.cfg.Stats.BytesUp}
	downward := &pump{src: up, dst: down, from: newSource(up, &r.buffers), bytes: &r.cfg.Stats.BytesDown}
	if r.cfg.Observer != nil {
		conn := r.cfg.Observer.Conn(peerOf(down))
		defer conn.Close()
		over := func(s *Side) {
			if hard.Err() != nil {
				conn.Stopped()
			}
			conn.Ended(s)
		}
		upward.side, upward.back, upward.over = conn.Up, conn.Down, over
		downward.side, downward.back, downward.over = conn.Down, conn.Up, over
	}
	var failed [2]error
	var other sync.WaitGroup
	other.Go(func() { failed[0] = r.pump(upward) })
	failed[1] = r.pump(downward)
	other.Wait()
	if failed[0] != nil || failed[1] != nil {
		reset(up)
		reset(down)
		return
	}
	_ = up.Close()
	_ = down.Close()
}

// pump runs one direction. A source that was reset ends both directions at once;
// where writing failed the other direction still brings what was sent before.
func (r *Relay) pump(p *pump) error {
	run := p.run
	if r.cfg.Observer == nil {
		run = p.copyAll
	}
	err := run()
	var pass *passError
	if err != nil && !errors.As(err, &pass) {
		reset(p.dst)
		reset(p.src)
	}
	return err
}

func peerOf(c net.Conn) string {
	if a := c.RemoteAddr(); a != nil && a.Network() == "tcp" {
		return a.String()
	}
	return "unix"
}
