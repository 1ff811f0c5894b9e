package store

import "github.com/xdsproxy/xdsproxy/pkg/xds"

// refs calls f with the digest of every body that r names. The digest of a
// resource that was too large names no body.
func refs(r *xds.Record, f func(xds.Digest)) {
	body := func(d xds.Digest) {
		if !d.IsZero() && d != xds.Bodyless {
			f(d)
		}
	}
	switch {
	case r.Request != nil:
		body(r.Request.Node)
	case r.Answer != nil:
		body(r.Answer.Node)
	case r.Push != nil:
		for i := range r.Push.Resources {
			if e := &r.Push.Resources[i]; e.State == xds.EntryBody {
				body(e.Digest)
			}
		}
	case r.Base != nil:
		baseRefs(r.Base, body)
	}
}

func baseRefs(b *xds.Base, f func(xds.Digest)) {
	f(b.Node)
	for i := range b.Types {
		for j := range b.Types[i].Resources {
			f(b.Types[i].Resources[j].Digest)
		}
	}
}

// newest is the highest push number that r proves for its sidecar.
func newest(r *xds.Record) uint64 {
	switch {
	case r.Push != nil:
		return r.Push.Number
	case r.Base != nil:
		return r.Base.Push
	}
	return 0
}

// newestStream is the highest stream number that r mentions.
func newestStream(r *xds.Record) uint64 {
	n := r.Stream
	if r.Base != nil {
		for _, s := range r.Base.Streams {
			n = max(n, s.Stream)
		}
	}
	return n
}
