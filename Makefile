# Everything a newcomer needs: `make demo` and `make test`.
GO        ?= go
BIN       := bin/xdsproxy
TOOLS     := $(CURDIR)/.tools
LINT      := $(TOOLS)/golangci-lint
LINT_VER  := v2.15.0
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME  ?= 20s
export ENVOY_BIN ?= $(shell hack/find-envoy)

.PHONY: build demo test lint fuzz oracle bench tools clean

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

# Random configurations on a live Envoy against the evaluator, about N probes;
# SEED=0 draws a new seed, which is printed when something is wrong.
N    ?= 1000
SEED ?= 0
oracle: tools
	ENVOY_BIN=$$(hack/find-envoy) CI=true $(GO) test ./test/live -run 'RealEnvoy' -count=1 -v -timeout 80m \
	  -args -rapid.checks=$$(( ($(N) + 39) / 40 )) -rapid.seed=$(SEED)

bench:
	$(GO) test -run '^$$' -bench . -benchtime 1s ./pkg/...

tools: $(LINT)
	@hack/get-envoy

$(LINT):
	@echo "installing golangci-lint $(LINT_VER) into .tools (once)"
	@GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VER)

clean:
	rm -rf bin .tools
