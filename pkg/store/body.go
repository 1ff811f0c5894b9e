package store

import (
	"fmt"
	"slices"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// body puts body n of a segment together and checks that it is what its digest
// says: nothing is served that was not written.
func (x *index) body(s *segment, n uint32) ([]byte, error) {
	b, err := x.assemble(s, n, nil)
	if err != nil {
		return nil, err
	}
	if d, ok := s.bodies.digest(uint64(n)); !ok || xds.DigestOf(b) != d {
		return nil, fmt.Errorf("%w: body %d of %s has other bytes than its digest says", errDamaged, n, s.name)
	}
	return b, nil
}

// link is one version on the way to the one that is whole.
type link struct {
	row
	middle []byte
}

// assemble goes down to the version that is whole and up again. What may be read
// on the way counts down in reads, if that is given.
func (x *index) assemble(s *segment, n uint32, reads *int) ([]byte, error) {
	var way []link
	for {
		l, err := x.link(s, n, reads)
		if err != nil {
			return nil, err
		}
		way = append(way, l)
		if l.back == 0 {
			break
		}
		if l.back > n || len(way) > 1<<10 {
			return nil, fmt.Errorf("%w: %w", errDamaged, errHead)
		}
		n -= l.back
	}
	body := slices.Clone(way[len(way)-1].middle)
	for _, l := range slices.Backward(way[:len(way)-1]) {
		if uint64(l.prefix)+uint64(l.suffix) > uint64(len(body)) || uint64(len(body))+uint64(len(l.middle)) > maxRaw {
			return nil, fmt.Errorf("%w: %w", errDamaged, errHead)
		}
		body = slices.Concat(body[:l.prefix], l.middle, body[len(body)-int(l.suffix):])
	}
	return body, nil
}

func (x *index) link(s *segment, n uint32, reads *int) (link, error) {
	f, ok := s.frameOf(n)
	if !ok {
		return link{}, fmt.Errorf("%w: body %d of %s is lost", errDamaged, n, s.name)
	}
	c, ok := x.contents.get(frameAt{s, f.off})
	if !ok {
		if reads != nil {
			if *reads--; *reads < 0 {
				return link{}, errTooMuch
			}
		}
		var err error
		if c, err = x.content(s, f); err != nil {
			return link{}, err
		}
	}
	r := c.rows[n-f.firstBody]
	return link{r, c.raw[r.start : r.start+r.size]}, nil
}

var errTooMuch = fmt.Errorf("comparing would read too much")

// older is body for a writer that compares.
func (x *index) older(s *segment, n uint32, reads *int) ([]byte, error) {
	return x.assemble(s, n, reads)
}
