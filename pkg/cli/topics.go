package cli

import (
	"github.com/spf13/cobra"

	"github.com/xdsproxy/xdsproxy/pkg/filter"
)

// filterKeys is the table of the filter language.
var filterKeys = filter.Help()

// topics are help texts without a command: xdsproxy help revisions.
func topics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "revisions", Short: "How to name a moment of a sidecar's history", Long: revisionsHelp},
		{Use: "filters", Short: "How to choose sidecars, pushes and events", Long: filtersHelp},
		{Use: "exit-codes", Short: "What the exit statuses mean", Long: exitHelp},
	}
}

const revisionsHelp = `A revision names a moment of one sidecar's history:

  41                       after push 41, with its answer, whenever that came
  HEAD                     everything that was recorded
  HEAD~2, 41~2             two pushes before
  @{10m}, @{2h}, @{1d}     so long ago: before now for a store, before the last
                           record for a file
  @{2026-11-22T09:30:00Z}  what was recorded by then
  A..B                     from A to B, for diff, resolve and export
  A..                      from A to HEAD
  0                        before the first push

A word of digits is always a revision, never a sidecar. Pushes are printed as #41;
that form can be typed too, when quoted: an unquoted # starts a comment in a shell.
Pushes are numbered per sidecar, over all its streams: 1, 2, 3, ...

What a sidecar holds at a revision is what takes traffic then: accepted, and warmed.
--accepted and --offered show what it acknowledged, and what was pushed to it.`

var filtersHelp = `A filter chooses pushes and events by what they are about. log and events take one
behind the sidecar, replay with --break-on:

  xdsproxy events kind:*capture port:3306
  xdsproxy log web-1.shop type:lds,cds not name:inbound*

Keys:

` + filterKeys + `

Values of one key, separated by commas, are alternatives; different keys must all
fit; "not" before a key turns it round. * is any text, ? one character; quotation
marks hold spaces and commas together (name:"a b") and keep * and ? as they are.

Sidecars are named in full (web-1.shop, web-1.shop/cluster where two clusters have
one), by pod with -n NAMESPACE, or by any prefix that fits one only. Without a name,
commands about one sidecar take the only one there is; events and ps take all.

  -n, --namespace NS       sidecars of that namespace
  -A, --all-namespaces     sidecars of all namespaces
  --since, --until         10m, 2h, 1d (before now; of a file: before its end), or a
                           time such as 2026-11-22T09:30:00Z
  --first N, --last N      so many of the list
  --type lds,cds           pushes and changes of these types
  --severity high          events at least that severe:
                           info, low, medium, high, critical
  --kind capture,dead      events of one of these kinds

Values of one flag are alternatives; different flags must all fit.
Event kinds: capture, dead-capture, inspected, stalled, closed, opened, release,
retarget, transport, dead, revived, unsure, drain, nack, nack-cleared, unanswered,
detached, standing, flap, gap.`

const exitHelp = `  0    fine
  1    found: diff differs, check or events --fail-on met one (--exit-code=false: then 0)
  2    error
  64   usage: unknown flag, noun, or form of revision
  65   bad data: what stands before the bad place was used
  69   cannot reach a control plane
  77   forbidden
  130  interrupted

Errors are printed on standard error, with a code (XP003) that docs/errors.md
explains; with -o json or jsonl as one JSON object {code,message,why,try}.`
