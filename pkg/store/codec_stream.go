package store

import "github.com/xdsproxy/xdsproxy/pkg/xds"

func putOpen(b []byte, o *xds.Open) []byte {
	b = putString(b, 1, o.Method)
	b = putLists(b, 2, o.Metadata)
	b = putString(b, 3, o.Peer)
	return putUint(b, 4, o.Conn)
}

func getOpen(d *decoder) *xds.Open {
	o := &xds.Open{}
	for d.next() {
		switch d.num {
		case 1:
			o.Method = d.str()
		case 2:
			d.sub(func(d *decoder) { o.Metadata = getLists(d, o.Metadata) })
		case 3:
			o.Peer = d.str()
		case 4:
			o.Conn = d.uint()
		}
	}
	return o
}

func putClose(b []byte, c *xds.Close) []byte {
	b = putString(b, 1, c.By)
	b = putString(b, 2, c.Code)
	b = putString(b, 3, c.Message)
	b = putLists(b, 4, c.Trailer)
	b = putUint(b, 5, c.Sent)
	return putUint(b, 6, c.Received)
}

func getClose(d *decoder) *xds.Close {
	c := &xds.Close{}
	for d.next() {
		switch d.num {
		case 1:
			c.By = d.str()
		case 2:
			c.Code = d.str()
		case 3:
			c.Message = d.str()
		case 4:
			d.sub(func(d *decoder) { c.Trailer = getLists(d, c.Trailer) })
		case 5:
			c.Sent = d.uint()
		case 6:
			c.Received = d.uint()
		}
	}
	return c
}

func putGap(b []byte, g *xds.Gap) []byte {
	b = putString(b, 1, g.Reason)
	b = putStrings(b, 2, g.Types)
	return putUint(b, 3, g.Lost)
}

func getGap(d *decoder) *xds.Gap {
	g := &xds.Gap{}
	for d.next() {
		switch d.num {
		case 1:
			g.Reason = d.str()
		case 2:
			g.Types = append(g.Types, d.str())
		case 3:
			g.Lost = d.uint()
		}
	}
	return g
}
