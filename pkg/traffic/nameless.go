package traffic

import (
	"bytes"
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// names says which fields of an encoded message are names, and in which fields
// there are messages that have some.
type names struct {
	blank  []protowire.Number
	inside map[protowire.Number]*names
	typ    string // an Any: its value is looked into only if it is of this type
}

// listenerNames are the names in a Listener in which those of many ports differ:
// its own, its address, those for statistics, and the route configuration.
func listenerNames() *names {
	const manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
	rds := &names{blank: []protowire.Number{2}}                                                   // route_config_name
	hcm := &names{blank: []protowire.Number{2}, inside: map[protowire.Number]*names{3: rds}}      // stat_prefix, rds
	filter := &names{inside: map[protowire.Number]*names{4: {typ: manager, inside: one(2, hcm)}}} // typed_config
	chain := &names{inside: one(3, filter)}
	listener := &names{blank: []protowire.Number{1, 2, 28}, inside: map[protowire.Number]*names{3: chain, 25: chain}}
	return &names{inside: one(2, listener)} // the Any around it
}

func one(n protowire.Number, in *names) map[protowire.Number]*names {
	return map[protowire.Number]*names{n: in}
}

// nameless is an encoded message without its names, and these apart.
type nameless struct {
	rest  []byte
	names [][]byte
	bad   bool
}

// add writes raw less the names in it, so that equal bytes are equal messages but
// for those.
func (o *nameless) add(raw []byte, in *names) {
	if in.typ != "" {
		if _, url := fields(raw, 1); len(url) != 1 || !bytes.HasSuffix(url[0], []byte("/"+in.typ)) {
			o.rest = append(o.rest, raw...)
			return
		}
	}
	for len(raw) > 0 && !o.bad {
		num, typ, n := protowire.ConsumeTag(raw)
		size := protowire.ConsumeFieldValue(num, typ, raw[max(n, 0):])
		if n < 0 || size < 0 {
			o.bad = true
			return
		}
		o.field(raw[:n+size], n, num, typ, in)
		raw = raw[n+size:]
	}
}

func (o *nameless) field(raw []byte, tag int, num protowire.Number, typ protowire.Type, in *names) {
	next := in.inside[num]
	if typ != protowire.BytesType || next == nil && !contains(in.blank, num) {
		o.rest = append(o.rest, raw...)
		return
	}
	value, _ := protowire.ConsumeBytes(raw[tag:])
	o.rest = append(o.rest, raw[:tag]...)
	if next == nil {
		o.names = append(o.names, value)
		return
	}
	at := len(o.rest)
	o.rest = append(o.rest, 0, 0, 0, 0)
	o.add(value, next)
	binary.BigEndian.PutUint32(o.rest[at:], uint32(len(o.rest)-at))
}

func contains(list []protowire.Number, n protowire.Number) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

// equals writes which of the names are equal to which.
func (o *nameless) equals() {
	for i, x := range o.names {
		for j, y := range o.names[:i+1] {
			if bytes.Equal(x, y) {
				o.rest = append(o.rest, byte(j))
				break
			}
		}
	}
}

func sameNames(a, b [][]byte) bool {
	if len(a) != len(b) || len(a) > 255 {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}
