// Package configdump reads what Envoy's admin interface says under /config_dump
// (with or without ?include_eds) as a history of one snapshot: the records that
// a Delta stream which had brought all of it would have left. So whatever
// answers questions about a recording answers them about a dump too.
//
// Start with IsDump and Read. The package does no I/O: who calls it opens and
// unpacks the file. What cannot be read is left out or kept as a name without a
// body, and told in Dump.Warnings; it is never made up.
package configdump

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// ErrNotDump is returned by Read for input that is no config_dump at all.
var ErrNotDump = errors.New("not an Envoy config_dump")

// Dump is one config_dump as a history.
type Dump struct {
	Sidecar xds.Sidecar
	Node    *corev3.Node // from the bootstrap, nil if that is not in the dump
	Records []xds.Record // one stream, Seq from 1, all with Sidecar
	Bodies  []xds.Body   // each once

	// Shown are the types of which the dump has a section: what is not in it is not
	// there.
	Shown map[string]bool
	// Static holds the clusters and listeners that no push brought: those of
	// the bootstrap.
	Static []proto.Message
	// Resolved holds what the clusters of DNS types had resolved to, by cluster name.
	Resolved map[string]*endpointv3.ClusterLoadAssignment
	// Lost4 holds the ports of 0.0.0.0 that a draining listener had; never nil.
	Lost4 []uint16

	Draining []string // names of listeners that only drain: they take no traffic
	Opaque   []string // type URLs that this program does not know, kept without content
	Warnings []string // what is missing or could not be read, for people
}

// IsDump tells from the first bytes of a file whether it is a config_dump: an
// object whose first key is "configs".
func IsDump(head []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(head))
	open, err := dec.Token()
	if err != nil || open != json.Delim('{') {
		return false
	}
	key, err := dec.Token()
	return err == nil && key == "configs"
}

// Read turns a config_dump (plain JSON) into records. The error wraps ErrNotDump
// when b is something else; a dump of which only parts can be read is no error.
func Read(b []byte) (*Dump, error) {
	var file struct {
		Configs []json.RawMessage `json:"configs"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("reading JSON: %w: %w", ErrNotDump, err)
	}
	if file.Configs == nil {
		return nil, fmt.Errorf("looking for \"configs\": %w", ErrNotDump)
	}
	p := &parts{held: map[string][]item{}, warming: map[string][]item{}, failed: map[string][]item{}, there: map[string]bool{}}
	known := 0
	for i, raw := range file.Configs {
		ok, err := p.config(raw)
		if err != nil {
			return nil, fmt.Errorf("reading configs[%d]: %w", i, err)
		}
		if ok {
			known++
		}
	}
	if known == 0 && len(file.Configs) > 0 {
		return nil, fmt.Errorf("no entry of \"configs\" is an envoy.admin dump: %w", ErrNotDump)
	}
	return p.dump()
}
