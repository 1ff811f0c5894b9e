package traffic

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

// region is one set of ports and the addresses in it, with what shifted where.
type region struct {
	v6    bool
	ports portSet
	tree  prefixTree
	full  []bool // nodes without an address of their own
	hits  []map[int]*hits
}

// hits are the classes of one node that belong to one shift.
type hits struct {
	set *classSet
	in  []bool
}

func newRegion(v6 bool, ports portSet, prefixes []netip.Prefix) *region {
	t := newPrefixTree(familyRoot(v6), prefixes)
	return &region{v6: v6, ports: ports, tree: t, full: make([]bool, len(t)), hits: make([]map[int]*hits, len(t))}
}

// hit notes that class n of node i belongs to a shift.
func (r *region) hit(i int, set *classSet, n int, shift int) {
	if r.hits[i] == nil {
		r.hits[i] = map[int]*hits{}
	}
	h := r.hits[i][shift]
	if h == nil {
		h = &hits{set: set, in: make([]bool, len(set.classes))}
		r.hits[i][shift] = h
	}
	h.in[n] = true
}

// found collects shifts, in the order in which they were met.
type found struct {
	index map[string]int
	list  []*draft
}

// draft is a shift whose cells are not written yet.
type draft struct {
	xds.Shift
	cells map[string]*draftCell
	order []*draftCell
}

type draftCell struct {
	ports   portSet
	area    area
	signals []xds.Class
}

func newFound() found { return found{index: map[string]int{}} }

// shift is the number of the shift that leads from before to after; its witness
// is the first destination met.
func (f *found) shift(before, after xds.Verdict, open xds.Connections, dst netip.AddrPort, sig xds.Signal) int {
	key := sameKey(before) + "\x00" + sameKey(after) + "\x00" + string(open)
	i, ok := f.index[key]
	if !ok {
		i = len(f.list)
		f.index[key] = i
		s := xds.Shift{Before: before, After: after, Witness: dst.String(), Signal: &sig, Open: open}
		f.list = append(f.list, &draft{Shift: s, cells: map[string]*draftCell{}})
	}
	return i
}

// sameKey is equal for verdicts that are the same (xds.Verdict.Same).
func sameKey(v xds.Verdict) string {
	return fmt.Sprintf("%s\x01%s\x01%s\x01%d\x01%s\x01%v\x01%d\x01%s", v.Kind, v.Inspection, v.Target, v.Status, v.Cluster, v.Clusters, v.PortOverride, v.Transport)
}

// add turns the hits of a region into cells, and returns them.
func (f *found) add(r *region) []templateCell {
	nodes := map[int]map[string][]bool{} // shift -> signals -> nodes
	signals := map[string][]xds.Class{}
	var shifts []int
	for i, byShift := range r.hits {
		for s, h := range byShift {
			classes := mergeClasses(h.set.names, h.in)
			key := signalKey(classes)
			signals[key] = classes
			if nodes[s] == nil {
				nodes[s] = map[string][]bool{}
				shifts = append(shifts, s)
			}
			if nodes[s][key] == nil {
				nodes[s][key] = make([]bool, len(r.tree))
			}
			nodes[s][key][i] = true
		}
	}
	slices.Sort(shifts)
	var out []templateCell
	for _, s := range shifts {
		for _, key := range slices.Sorted(maps.Keys(nodes[s])) {
			for _, a := range r.tree.areas(nodes[s][key], r.full) {
				f.list[s].cell(r.ports, a, key, signals[key])
				out = append(out, templateCell{s, a, signals[key]})
			}
		}
	}
	return out
}

// cell adds one cell; cells that differ in their ports only become one.
func (d *draft) cell(ports portSet, a area, key string, signals []xds.Class) {
	key = fmt.Sprint(a.within, a.except) + key
	if c, ok := d.cells[key]; ok {
		c.ports = joinPorts(c.ports, ports)
		return
	}
	c := &draftCell{ports: ports, area: a, signals: signals}
	d.cells[key] = c
	d.order = append(d.order, c)
}

func (c *comparison) shifts() []xds.Shift {
	out := make([]xds.Shift, 0, len(c.found.list))
	for _, d := range c.found.list {
		for _, cell := range d.order {
			d.Cells = append(d.Cells, xds.Cell{
				Ports: cell.ports.String(), Destinations: texts(cell.area.within), Except: texts(cell.area.except), Signals: cell.signals,
			})
		}
		out = append(out, d.Shift)
	}
	return out
}

func texts(list []netip.Prefix) []string {
	if len(list) == 0 {
		return nil
	}
	return stringsOf(list)
}

func signalKey(classes []xds.Class) string {
	if classes == nil {
		return "*"
	}
	keys := make([]string, len(classes))
	for i, c := range classes {
		keys[i] = classKey(c)
	}
	return strings.Join(keys, "\x02")
}
