package traffic

import (
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"
)

// shared holds what thousands of endpoints and clusters have alike, once: the
// metadata by which sockets and subsets are chosen, and the sockets.
type shared struct {
	values  map[string]map[string]*structpb.Value
	sockets map[string][]socketMatch
	key     []byte // to write a key to
}

// maxShared bounds how many different ones are remembered; then all are forgotten,
// and those in use stay with who uses them.
const maxShared = 4096

func (s *shared) value(m map[string]*structpb.Value) map[string]*structpb.Value {
	if len(m) == 0 {
		return nil
	}
	var ok bool
	if s.key, ok = flatKey(s.key[:0], m); !ok {
		return m
	}
	if old, ok := s.values[string(s.key)]; ok {
		return old
	}
	if s.values == nil || len(s.values) >= maxShared {
		s.values = map[string]map[string]*structpb.Value{}
	}
	s.values[string(s.key)] = m
	return m
}

// flatKey adds what is equal for equal values only, false where one is no plain text.
func flatKey(key []byte, m map[string]*structpb.Value) ([]byte, bool) {
	names := make([]string, 0, 4)
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	key = binary.AppendUvarint(key, uint64(len(names)))
	for _, k := range names {
		v, ok := m[k].GetKind().(*structpb.Value_StringValue)
		if !ok {
			return key, false
		}
		key = appendText(appendText(key, k), v.StringValue)
	}
	return key, true
}

func appendText(key []byte, s string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(s))), s...)
}

func (s *shared) assignment(a *assignment) {
	for _, p := range a.priorities {
		for _, l := range p.localities {
			for i := range l.hosts {
				h := &l.hosts[i]
				h.match, h.meta = s.value(h.match), s.value(h.meta)
			}
		}
	}
}

func (s *shared) cluster(c *cluster) {
	if c.assignment != nil {
		s.assignment(c.assignment)
	}
	if len(c.sockets) == 0 {
		return
	}
	s.key = s.key[:0]
	for _, m := range c.sockets {
		var ok bool
		if s.key, ok = flatKey(s.key, m.match); !ok {
			return
		}
		s.key = appendText(s.key, m.socket)
	}
	if old, ok := s.sockets[string(s.key)]; ok {
		c.sockets = old
		return
	}
	if s.sockets == nil || len(s.sockets) >= maxShared {
		s.sockets = map[string][]socketMatch{}
	}
	s.sockets[string(s.key)] = c.sockets
}
