package state

import "github.com/xdsproxy/xdsproxy/pkg/xds"

// Reorder returns the records with each answer right behind the push it answers,
// and everything else in the order it was. Folded like this, the state after a
// push is what the push led to, although Envoy may answer late (it holds back
// the answer to clusters until they have warmed). Answers to pushes that are not
// among the records stay where they are.
func Reorder(recs []xds.Record) []xds.Record {
	answers := map[key][]xds.Record{}
	pushes := map[key]bool{}
	for _, r := range recs {
		if r.Kind == xds.KindPush && r.Push != nil {
			pushes[key{r.Sidecar, r.Push.Number}] = true
		}
		if k, ok := answered(r); ok && pushes[k] {
			answers[k] = append(answers[k], r)
		}
	}
	out := make([]xds.Record, 0, len(recs))
	seen := map[key]bool{}
	for _, r := range recs {
		if k, ok := answered(r); ok && seen[k] {
			continue
		}
		out = append(out, r)
		if r.Kind == xds.KindPush && r.Push != nil {
			k := key{r.Sidecar, r.Push.Number}
			seen[k] = true
			out = append(out, answers[k]...)
		}
	}
	return out
}

type key struct {
	id   xds.Sidecar
	push uint64
}

func answered(r xds.Record) (key, bool) {
	if r.Kind != xds.KindAnswer || r.Answer == nil || r.Answer.Push == 0 {
		return key{}, false
	}
	return key{r.Sidecar, r.Answer.Push}, true
}
