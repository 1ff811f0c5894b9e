// Package admin serves health and metrics of a running proxy over HTTP: /healthz,
// /readyz and /metrics. It knows nothing of what it reports: everything it says it
// asks of small functions when it is asked.
//
// Start with New and Server.Run.
package admin
