// Package live compares what the evaluator says with what a real Envoy does. The
// tests run themselves again inside a network namespace of their own in which
// every address is local, connections of the prober are redirected to Envoy's
// port 15001 as in a pod, and a witness answers wherever Envoy dials.
package live
