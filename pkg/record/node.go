package record

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// NoNode is the node id given to a client whose node says nothing at all: no id,
// no cluster, no CLUSTER_ID. All of them are one sidecar in the history.
const NoNode = "?"

// Field numbers of envoy.config.core.v3.Node and google.protobuf.Struct.
const (
	nodeID       = 1
	nodeCluster  = 2
	nodeMetadata = 3

	structFields = 1
	valueString  = 3
	valueStruct  = 5
	valueList    = 6
	listValues   = 1
)

// Identity reads who a client says it is from an encoded Node.
func Identity(node []byte) xds.Sidecar {
	var id xds.Sidecar
	_ = each(node, func(f field) error {
		switch {
		case f.num == nodeID && f.bytes():
			id.Node = string(f.val)
		case f.num == nodeCluster && f.bytes():
			id.Cluster = string(f.val)
		case f.num == nodeMetadata && f.bytes():
			id.Mesh = structString(f.val, "CLUSTER_ID")
		}
		return nil
	})
	if id.IsZero() {
		id.Node = NoNode
	}
	return xds.Sidecar{Node: short(id.Node), Cluster: short(id.Cluster), Mesh: short(id.Mesh)}
}

// nameBytes is how long a node's id, cluster and mesh may be: they stand in every
// record. Kubernetes allows 253 for each name in them. What is longer is cut, and
// ends in a hash, so that two of them stay two.
const nameBytes = 1024

func short(s string) string {
	if len(s) <= nameBytes {
		return s
	}
	return strings.ToValidUTF8(s[:nameBytes-17], "") + "~" + xds.DigestOf([]byte(s)).Hex()[:16]
}

// structString reads a string out of an encoded Struct.
func structString(b []byte, name string) string {
	found := ""
	_ = each(b, func(f field) error {
		if f.num == structFields && f.bytes() {
			if k, v := entryOf(f.val); k == name {
				found = string(lookup(v, valueString))
			}
		}
		return nil
	})
	return found
}

// entryOf splits a map entry.
func entryOf(b []byte) (key string, value []byte) {
	return string(lookup(b, 1)), lookup(b, 2)
}

// lookup returns the last length-delimited field num of b.
func lookup(b []byte, num protowire.Number) []byte {
	var v []byte
	_ = each(b, func(f field) error {
		if f.num == num && f.bytes() {
			v = f.val
		}
		return nil
	})
	return v
}

// NodeOf reads who a request says it is from; ok is false when it has no node.
func NodeOf(m *xds.Message) (id xds.Sidecar, ok bool) {
	if m == nil {
		return id, false
	}
	q, err := parseRequest(m.Envelope, guessVariant(m, false) == variantDelta)
	if err != nil || !q.hasNode {
		return id, false
	}
	return Identity(q.node), true
}
