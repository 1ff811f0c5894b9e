package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// recall is how long told events are remembered one by one, in record time; what
// is older than that before the newest record is taken for told.
const recall = 15 * time.Minute

// memory is what `events --resume FILE` keeps: what was told. Events may be told
// twice after a crash, never left out. A nil memory knows nothing.
type memory struct {
	path  string
	state memoryFile
	dirty bool
}

// memoryFile is the form of the file.
type memoryFile struct {
	APIVersion string               `json:"apiVersion"`
	Seq        uint64               `json:"seq"`  // the last record handled
	Time       time.Time            `json:"time"` // of it
	Told       map[string]time.Time `json:"told"` // id/revision of an event -> its time
}

func openMemory(path string) (*memory, error) {
	if path == "" {
		return nil, nil
	}
	m := &memory{path: path, state: memoryFile{APIVersion: xds.APIVersion, Told: map[string]time.Time{}}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, openFailure(path, err)
	}
	if err := json.Unmarshal(b, &m.state); err != nil {
		return nil, Fail(CodeBadFormat, err.Error(), "delete it to start anew", "%s is not what --resume wrote", path)
	}
	if m.state.Told == nil {
		m.state.Told = map[string]time.Time{}
	}
	return m, nil
}

func memoryKey(e xds.Event) string { return fmt.Sprintf("%s/%d", e.ID, e.Revision) }

// knows reports whether e was told before.
func (m *memory) knows(e xds.Event) bool {
	if m == nil {
		return false
	}
	if _, ok := m.state.Told[memoryKey(e)]; ok {
		return true
	}
	return !m.state.Time.IsZero() && e.Time.Before(m.state.Time.Add(-recall))
}

// since is where reading has to begin again.
func (m *memory) since() time.Time {
	if m == nil || m.state.Time.IsZero() {
		return time.Time{}
	}
	return m.state.Time.Add(-recall)
}

// told remembers e, on the disk before it returns.
func (m *memory) told(e xds.Event) error {
	if m == nil {
		return nil
	}
	m.state.Told[memoryKey(e)] = e.Time
	m.dirty = true
	return m.save()
}

// progress notes the last record handled.
func (m *memory) progress(seq uint64, t time.Time) error {
	if m == nil || seq == m.state.Seq {
		return nil
	}
	m.state.Seq, m.dirty = seq, true
	if t.After(m.state.Time) {
		m.state.Time = t
	}
	for k, at := range m.state.Told {
		if at.Before(m.state.Time.Add(-2 * recall)) {
			delete(m.state.Told, k)
		}
	}
	return m.save()
}

// save writes the file anew beside the old one and puts it in its place.
func (m *memory) save() error {
	if m == nil || !m.dirty {
		return nil
	}
	b, err := json.Marshal(m.state)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", m.path, err)
	}
	tmp := filepath.Join(filepath.Dir(m.path), "."+filepath.Base(m.path)+".new")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("remembering what was told in %s: %w", m.path, err)
	}
	if err := os.Rename(tmp, m.path); err != nil {
		return fmt.Errorf("remembering what was told in %s: %w", m.path, err)
	}
	m.dirty = false
	return nil
}
