package store

import (
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
)

// crashDisk is a file system in memory that can lose what was not synced.
type crashDisk struct {
	mu     sync.Mutex // guards all, the nodes too
	names  map[string]*node
	safe   map[string]*node // names as of the last sync of their directory
	locked bool
	free   int64 // what Space says
	fail   error // of every write
}

// node is a file.
type node struct {
	data []byte
	safe []byte // as of its last sync
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func newCrashDisk() *crashDisk {
	return &crashDisk{names: map[string]*node{}, safe: map[string]*node{}, free: 1 << 40}
}

// crash is the disk after a power cut: of what was not synced some is there, in
// each file up to some place, or not at all.
func (d *crashDisk) crash(rnd *rand.Rand) *crashDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := newCrashDisk()
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		n := d.names[name]
		if d.safe[name] != n && rnd.IntN(2) == 0 {
			continue // its name was not on the disk
		}
		kept := slices.Clone(n.safe)
		if more := len(n.data) - len(kept); more > 0 {
			kept = append(kept, n.data[len(kept):len(kept)+rnd.IntN(more+1)]...)
		}
		out.names[name] = &node{data: kept, safe: slices.Clone(kept)}
	}
	out.safe = maps.Clone(out.names)
	return out
}

// kill is the disk after its writer was killed: everything is there.
func (d *crashDisk) kill() *crashDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.locked = false
	return d
}

func (d *crashDisk) Names(string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for n := range d.names {
		out = append(out, filepath.Base(n))
	}
	slices.Sort(out)
	return out, nil
}

func (d *crashDisk) node(path string) (*node, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.names[path]; n != nil {
		return n, nil
	}
	return nil, fs.ErrNotExist
}

func (d *crashDisk) Open(path string) (file, error) {
	n, err := d.node(path)
	if err != nil {
		return nil, err
	}
	return &handle{disk: d, node: n}, nil
}

func (d *crashDisk) Create(path string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[path] != nil {
		return nil, fs.ErrExist
	}
	d.names[path] = &node{}
	return &handle{disk: d, node: d.names[path]}, nil
}

func (d *crashDisk) ReadFile(path string) ([]byte, error) {
	n, err := d.node(path)
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.data), nil
}

func (d *crashDisk) Truncate(path string, size int64) error {
	n, err := d.node(path)
	if err != nil {
		return err
	}
	return (&handle{disk: d, node: n}).Truncate(size)
}

func (d *crashDisk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[path] == nil {
		return fs.ErrNotExist
	}
	delete(d.names, path)
	return nil
}

func (d *crashDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (d *crashDisk) Mkdir(string) error { return nil }

func (d *crashDisk) SyncDir(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.safe = maps.Clone(d.names)
	return nil
}

func (d *crashDisk) Lock(string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked {
		return nil, ErrLocked
	}
	d.locked = true
	return unlock{d}, nil
}

type unlock struct{ *crashDisk }

func (u unlock) Close() error {
	u.kill()
	return nil
}

func (d *crashDisk) Locked(string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.locked
}

func (d *crashDisk) Space(string) (free, total int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.free, 1 << 41, nil
}

// handle is an open file.
type handle struct {
	disk   *crashDisk
	node   *node
	closed bool
}

func (h *handle) open() error {
	if h.closed {
		return fs.ErrClosed
	}
	return nil
}

func (h *handle) ReadAt(b []byte, off int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.open(); err != nil {
		return 0, err
	}
	if off >= int64(len(h.node.data)) {
		return 0, io.EOF
	}
	n := copy(b, h.node.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) WriteAt(b []byte, off int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.disk.fail != nil {
		half := b[:len(b)/2]
		h.put(half, off)
		return len(half), h.disk.fail
	}
	h.put(b, off)
	return len(b), nil
}

func (h *handle) put(b []byte, off int64) {
	if more := off + int64(len(b)) - int64(len(h.node.data)); more > 0 {
		h.node.data = append(h.node.data, make([]byte, more)...)
	}
	copy(h.node.data[off:], b)
}

func (h *handle) Close() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	h.closed = true
	return nil
}

func (h *handle) Size() (int64, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	return int64(len(h.node.data)), h.open()
}

func (h *handle) Truncate(size int64) error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	h.node.data = h.node.data[:min(size, int64(len(h.node.data)))]
	return nil
}

func (h *handle) Sync() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	h.node.safe = slices.Clone(h.node.data)
	return h.open()
}
