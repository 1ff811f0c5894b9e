package admin

import (
	"encoding/json"
	"net/http"
	"strings"
)

// The states of Health.
const (
	OK       = "ok"
	Degraded = "degraded" // traffic flows; something else does not work
	NotReady = "not ready"
)

// Health is what /healthz and /readyz say to who asks for JSON, with
// `Accept: application/json` or `?format=json`. The others get a line of text.
type Health struct {
	Status string `json:"status"`
	// Reasons say what does not work, one sentence each.
	Reasons []string `json:"reasons"`
}

func (s *Server) health() Health {
	h := Health{Status: OK, Reasons: append([]string{}, s.cfg.Reasons()...)}
	if len(h.Reasons) > 0 {
		h.Status = Degraded
	}
	return h
}

func wantsJSON(r *http.Request) bool {
	return r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json")
}

func writeHealth(w http.ResponseWriter, status int, h Health) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(h) // who asked is gone
}
