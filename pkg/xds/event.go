package xds

import "time"

// APIVersion stands in every JSON object that people may depend on.
const APIVersion = "xdsproxy/v1"

// Severity is how much an event matters.
type Severity string

// The severities, rising.
const (
	Info     Severity = "info"
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Severities lists them, rising.
var Severities = []Severity{Info, Low, Medium, High, Critical}

// Rank orders severities: info 0 to critical 4; -1 for an unknown one.
func (s Severity) Rank() int {
	for i, x := range Severities {
		if x == s {
			return i
		}
	}
	return -1
}

// EventKind names what happened.
type EventKind string

// The event kinds. The table of which verdicts give which stands in pkg/judge.
const (
	EvCapture     EventKind = "capture"
	EvDeadCapture EventKind = "dead-capture"
	EvInspected   EventKind = "inspected"
	EvStalled     EventKind = "stalled"
	EvClosed      EventKind = "closed"
	EvOpened      EventKind = "opened"
	EvRelease     EventKind = "release"
	EvRetarget    EventKind = "retarget"
	EvTransport   EventKind = "transport"
	EvDead        EventKind = "dead"
	EvRevived     EventKind = "revived"
	EvUnsure      EventKind = "unsure"
	EvDrain       EventKind = "drain"
	EvNACK        EventKind = "nack"
	EvNACKCleared EventKind = "nack-cleared"
	EvUnanswered  EventKind = "unanswered"
	EvDetached    EventKind = "detached"
	EvStanding    EventKind = "standing"
	EvFlap        EventKind = "flap"
	EvGap         EventKind = "gap"
)

// EventKinds lists all of them.
var EventKinds = []EventKind{EvCapture, EvDeadCapture, EvInspected, EvStalled, EvClosed, EvOpened, EvRelease, EvRetarget,
	EvTransport, EvDead, EvRevived, EvUnsure, EvDrain, EvNACK, EvNACKCleared, EvUnanswered, EvDetached, EvStanding, EvFlap, EvGap}

// Event is a shift or protocol fact worth telling.
type Event struct {
	APIVersion string      `json:"apiVersion"`
	ID         string      `json:"id"`
	Group      string      `json:"group"`
	Revision   int         `json:"revision"`
	Kind       EventKind   `json:"kind"`
	Severity   Severity    `json:"severity"`
	Settled    bool        `json:"settled"`
	Sidecar    string      `json:"sidecar"`
	Push       string      `json:"push"`   // "#41": the first push after which the witness's verdict is no longer Before
	Pushes     []string    `json:"pushes"` // first and last push of the group
	Time       time.Time   `json:"time"`   // of Push
	Ports      string      `json:"ports"`
	Witness    string      `json:"witness,omitempty"`
	Summary    string      `json:"summary"`
	Cells      []Cell      `json:"cells"`
	More       int         `json:"more,omitempty"` // cells beyond the 64 shown
	Before     *Side       `json:"before"`
	After      *Side       `json:"after"`
	Owner      *Owner      `json:"owner"`
	Cause      *Cause      `json:"cause"`
	Open       Connections `json:"openConnections,omitempty"`
	Remedies   []Remedy    `json:"remedies"`
	Resource   *Resource   `json:"resource,omitempty"` // nack
	Message    string      `json:"message,omitempty"`  // nack
	Count      uint64      `json:"count,omitempty"`    // equal episodes folded into this one
	Uncertain  []string    `json:"uncertain,omitempty"`
}

// Side is one end of an event: the verdict that was, or is, in short.
type Side struct {
	Kind         VerdictKind       `json:"kind"`
	Reason       string            `json:"reason,omitempty"`
	Inspection   string            `json:"inspection,omitempty"`
	Target       string            `json:"target,omitempty"`
	Status       int               `json:"status,omitempty"`
	Cluster      string            `json:"cluster,omitempty"`
	Clusters     []WeightedCluster `json:"clusters,omitempty"`
	PortOverride uint32            `json:"portOverride,omitempty"`
	Transport    string            `json:"transport,omitempty"`
	Listener     string            `json:"listener,omitempty"`
}

// Owner is the object that configuration came from, as far as its metadata tells.
type Owner struct {
	Kind      string `json:"kind"`           // ServiceEntry, Service, VirtualService, ... or "" if not known
	Name      string `json:"name,omitempty"` // resource name where known
	Host      string `json:"host,omitempty"`
	Namespace string `json:"namespace,omitempty"`
}

// Cause is the change of an object behind a push.
type Cause struct {
	Object     string `json:"object"`
	User       string `json:"user,omitempty"`
	Tool       string `json:"tool,omitempty"`
	Confidence string `json:"confidence"` // certain, likely, unknown
}

// Remedy is a way out, concrete for its event.
type Remedy struct {
	Title string `json:"title"`
	Why   string `json:"why"`
	YAML  string `json:"yaml,omitempty"`
}

// Resource names one xDS object.
type Resource struct {
	Type string `json:"type"`
	Name string `json:"name"`
}
