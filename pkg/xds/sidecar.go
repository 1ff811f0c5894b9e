package xds

import "strings"

// Sidecar is one xDS client's identity. The zero Sidecar is "nobody yet": a
// stream belongs to nobody until its first request with a node.
type Sidecar struct {
	Node    string // node.id
	Cluster string // node.cluster
	Mesh    string // node.metadata CLUSTER_ID
}

// IsZero reports whether s is "nobody yet", shown as ?.
func (s Sidecar) IsZero() bool { return s == Sidecar{} }

// Name is the sidecar on display: pod.namespace where node.id has Istio's form
// type~ip~pod.namespace~domain, else the node id.
func (s Sidecar) Name() string {
	if s.Node == "" && !s.IsZero() {
		return "(no node id)"
	}
	if s.IsZero() {
		return "?"
	}
	if p := strings.Split(s.Node, "~"); len(p) == 4 && p[2] != "" {
		return p[2]
	}
	return s.Node
}

// FullName adds the mesh's cluster id: the form used where Name is ambiguous.
func (s Sidecar) FullName() string {
	switch {
	case s.Mesh != "":
		return s.Name() + "/" + s.Mesh
	case s.Cluster != "":
		return s.Name() + "/" + s.Cluster
	}
	return s.Name()
}

// Istio reports whether node.id has Istio's form.
func (s Sidecar) Istio() bool {
	p := strings.Split(s.Node, "~")
	return len(p) == 4 && p[2] != ""
}

// IP is the address in an Istio node id, else "".
func (s Sidecar) IP() string {
	if p := strings.Split(s.Node, "~"); len(p) == 4 {
		return p[1]
	}
	return ""
}
