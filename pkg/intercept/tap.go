package intercept

import "github.com/xdsproxy/xdsproxy/pkg/xds"

// Tap is who wants to know what the observer sees. Both methods are called on
// the forwarding path by many goroutines: they return at once and never block.
type Tap interface {
	// Known reports whether the body with this key was accepted before, so that
	// its bytes need not be handed over again.
	Known(xds.Key) bool
	// Offer hands over a sighting, which the caller does not touch again. False
	// says that it was not taken.
	Offer(xds.Sighting) bool
}
