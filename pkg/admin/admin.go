package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config says where to listen and whom to ask. The functions are called for each
// request, by many goroutines.
type Config struct {
	// Addr is host:port. Port 0 picks one. Required.
	Addr string
	// Ready says whether the proxy can do its work, and if not, why. ctx ends with
	// the request. Default: always.
	Ready func(ctx context.Context) error
	// Degraded says what does not work although traffic flows, "" when everything
	// does. Default: nothing.
	Degraded func() string
	// Reasons is Degraded, one by one, for who asks for JSON. Default: Degraded's.
	Reasons func() []string
	// Metrics are published beside those of the Go runtime and the process.
	Metrics []Metric
	// Collectors are published too: what has labels that are not known before.
	Collectors []prometheus.Collector
}

// Metric is one number.
type Metric struct {
	Name, Help string
	Labels     map[string]string
	Gauge      bool // else a counter
	Value      func() float64
}

// Server is the HTTP server.
type Server struct {
	cfg      Config
	listener net.Listener
	http     *http.Server
}

// New opens the listener, so that a port in use shows at once.
func New(c Config) (*Server, error) {
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	if c.Degraded == nil {
		c.Degraded = func() string { return "" }
	}
	if c.Reasons == nil {
		c.Reasons = func() []string {
			return slices.DeleteFunc([]string{c.Degraded()}, func(s string) bool { return s == "" })
		}
	}
	s := &Server{cfg: c}
	metrics, err := s.metrics()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", metrics)
	if s.listener, err = net.Listen("tcp", c.Addr); err != nil {
		return nil, fmt.Errorf("listening for health and metrics on %s: %w", c.Addr, err)
	}
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives up a server that is not run.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving health and metrics: %w", err)
	}
	return nil
}

// healthz says that the process lives. What is degraded is told and is no reason
// to restart it: a restart would cut every connection.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	if wantsJSON(r) {
		writeHealth(w, http.StatusOK, s.health())
		return
	}
	say(w, http.StatusOK, s.state())
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	err := s.cfg.Ready(r.Context())
	if wantsJSON(r) {
		h, status := s.health(), http.StatusOK
		if err != nil {
			h.Status, status = NotReady, http.StatusServiceUnavailable
			h.Reasons = append([]string{err.Error()}, h.Reasons...)
		}
		writeHealth(w, status, h)
		return
	}
	if err != nil {
		say(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
		return
	}
	say(w, http.StatusOK, s.state())
}

func (s *Server) state() string {
	if why := s.cfg.Degraded(); why != "" {
		return "degraded: " + why
	}
	return "ok"
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, strings.ReplaceAll(text, "\n", " ")) // who asked is gone
}

func (s *Server) metrics() (http.Handler, error) {
	reg := prometheus.NewRegistry()
	all := append([]prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})},
		s.cfg.Collectors...)
	for _, m := range s.cfg.Metrics {
		if m.Gauge {
			all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: m.Name, Help: m.Help, ConstLabels: m.Labels}, m.Value))
			continue
		}
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: m.Name, Help: m.Help, ConstLabels: m.Labels}, m.Value))
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering a metric: %w", err)
		}
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), nil
}
