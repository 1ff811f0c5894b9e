package xds

// Cell is a set of destinations: Destinations minus Except, times Ports, times
// Signals.
type Cell struct {
	Ports        string   `json:"ports"`        // "3306", "1-3305,3307-65535" or "*"
	Destinations []string `json:"destinations"` // CIDRs of one family
	Except       []string `json:"except,omitempty"`
	Signals      []Class  `json:"signals"` // nil = all
}

// Connections says what becomes of connections that were open before a shift.
type Connections string

// The fates of open connections.
const (
	Kept    Connections = "kept"
	Drained Connections = "drained" // closed after the drain time
)

// Shift is a set of destinations whose verdict differs between two snapshots.
type Shift struct {
	Cells   []Cell      `json:"cells"` // disjoint
	Before  Verdict     `json:"before"`
	After   Verdict     `json:"after"`
	Witness string      `json:"witness"` // ip:port, a member of Cells
	Signal  *Signal     `json:"witnessSignal,omitempty"`
	Open    Connections `json:"openConnections,omitempty"`
}

// Change is a difference between two snapshots in the terms of a resource type.
type Change struct {
	Type  string   `json:"type"` // type URL as sent
	Name  string   `json:"name"`
	Op    string   `json:"op"`    // add, remove, change
	Paths []string `json:"paths"` // fields that differ, for change
	Old   Digest   `json:"-"`
	New   Digest   `json:"-"`
}
