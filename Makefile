# Everything a newcomer needs: `make demo` and `make test`.
GO        ?= go
BIN       := bin/xdsproxy
TOOLS     := $(CURDIR)/.tools
LINT      := $(TOOLS)/golangci-lint
LINT_VER  := v2.15.0
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME  ?= 20s
export ENVOY_BIN ?= $(shell hack/find-envoy)

.PHONY: build demo test lint fuzz oracle bench soak tools clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN) ./cmd/xdsproxy

# The incident, on this machine, without a cluster.
demo: build
	@hack/get-envoy || true
	@ENVOY_BIN=$$(hack/find-envoy) $(BIN) demo

# The whole suite, end-to-end tests on a real Envoy included.
test: tools lint
	ENVOY_BIN=$$(hack/find-envoy) hack/test

lint: $(LINT)
	$(LINT) run ./...

# Each fuzz target for FUZZTIME, seeds from real bytes.
fuzz:
	hack/fuzz $(FUZZTIME)

# Random configurations on a live Envoy against the evaluator: about N probes, and
# a quarter of that around updates. SEED=0 draws a new seed, which is printed when
# something is wrong; ENVOY is a version that hack/get-envoy can get, such as
# 1.36.2, else the one that tests use.
N     ?= 1000
SEED  ?= 0
ENVOY ?=
ORACLE := $(GO) test ./test/live -count=1 -v -timeout 80m
oracle: tools
	@[ -z "$(ENVOY)" ] || ENVOY_VERSION=$(ENVOY) hack/get-envoy
	@if [ -n "$(ENVOY)" ]; then export ENVOY_BIN=$(TOOLS)/envoy-$(ENVOY); else export ENVOY_BIN=$$(hack/find-envoy); fi; export CI=true; \
	  $(ORACLE) -run RealEnvoyAgrees -args -rapid.checks=$$(( ($(N) + 39) / 40 )) -rapid.seed=$(SEED) && \
	  $(ORACLE) -run RealEnvoyCompares -args -rapid.checks=$$(( ($(N) + 159) / 160 )) -rapid.seed=$(SEED)

# The figures of docs/performance.md, as two tables and in bin/bench.json: the
# evaluator, then forwarding and store (BENCH=-quick for a look, -only SECTIONS).
BENCH ?=
bench: build
	$(GO) build -o bin/pipe ./test/bench/pipe
	$(GO) test ./test/bench -run '^TestNumbers$$' -count=1 -v -timeout 60m -args -numbers -xdsproxy $(CURDIR)/$(BIN) -json $(CURDIR)/bin/bench-evaluator.json
	bin/pipe -xdsproxy $(BIN) -merge bin/bench-evaluator.json -json bin/bench.json $(BENCH)

# Steady pushes, clients that come and go, a store of bounded size: what the proxy
# takes stays where it was. HOURS may be a fraction.
HOURS ?= 1
soak: build
	$(GO) test ./test/faults -run '^TestSoak$$' -count=1 -v -timeout 0 -args -xdsproxy $(CURDIR)/$(BIN) -soak $(HOURS)h

tools: $(LINT)
	@hack/get-envoy

$(LINT):
	@echo "installing golangci-lint $(LINT_VER) into .tools (once)"
	@GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VER)

clean:
	rm -rf bin .tools
