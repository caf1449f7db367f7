# Everything one does with this checkout. "make" alone lists it.
SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-builtin-rules

GO   ?= go
TOOL := $(GO) tool -modfile=tools/go.mod

# Packages, and flags for go test: make test PKG=./pkg/retry TESTFLAGS='-v -run Backoff'
PKG       ?= ./...
TESTFLAGS ?=
TIMEOUT   ?= 10m

# Benchmarks: make bench BENCH=Ingest COUNT=10
BENCH      ?= .
COUNT      ?= 6
BENCHTIME  ?= 1s
BENCH_PKG  ?= $(sort $(addprefix ./,$(dir $(shell grep -rl --include='*_test.go' '^func Benchmark' cmd internal pkg))))
BENCH_FILE ?= .bench/$(shell date -u +%Y%m%dT%H%M%SZ).txt

# What --version says. The date is the commit's, so that a build can be repeated.
BUILDINFO := github.com/gometheus/gometheus/internal/common/buildinfo
VERSION   ?= $(patsubst v%,%,$(shell git describe --tags --match='v*' 2>/dev/null))
COMMIT    ?= $(shell git rev-parse --verify --quiet HEAD 2>/dev/null)$(if $(shell git status --porcelain 2>/dev/null),-dirty)
DATE      ?= $(shell TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
LDFLAGS   := -X $(BUILDINFO).version=$(VERSION) -X $(BUILDINFO).commit=$(COMMIT) -X $(BUILDINFO).date=$(DATE)

.PHONY: help run bin cross test test-deps test-race crash bench fuzz lint lint-deps vuln fmt clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: bin ## build both programs and run them together; Ctrl-C stops them
	@exec scripts/run

bin: ## build bin/server and bin/agent
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='$(LDFLAGS)' -o bin/ ./cmd/server ./cmd/agent

cross: ## compile for the other systems that are supported, a 32-bit one among them
	GOOS=linux GOARCH=arm GOARM=7 CGO_ENABLED=0 $(GO) build ./cmd/agent ./cmd/server
	GOOS=windows CGO_ENABLED=0 $(GO) build ./cmd/agent ./cmd/server
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build ./cmd/agent ./cmd/server

test: test-deps ## run the tests; installs what they need and the machine lacks
	$(GO) test -timeout=$(TIMEOUT) $(TESTFLAGS) $(PKG)

test-race: test-deps ## run the tests under the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout=$(TIMEOUT) $(TESTFLAGS) $(PKG)

crash: test-deps ## the long form of the crash harness: thousands of kills, power cuts and faults (hours)
	GOMETHEUS_LONG=1 $(GO) test -timeout=6h -v $(TESTFLAGS) $(or $(CRASH_PKG),./internal/crashtest ./internal/common/journal ./internal/server/storage/... ./internal/agent/...)

test-deps:
	@scripts/test-deps

lint-deps:
	@scripts/test-deps lint

bench: ## run the benchmarks and compare what is side by side (impl=…)
	@mkdir -p $(dir $(BENCH_FILE))
	$(GO) test -run='^$$' -bench='$(BENCH)' -benchmem -benchtime=$(BENCHTIME) -count=$(COUNT) -timeout=2h $(BENCH_PKG) | tee $(BENCH_FILE)
	@echo
	@$(TOOL) benchstat -col /impl $(BENCH_FILE)

fuzz: ## run every fuzz target for FUZZTIME each (10s)
	@scripts/fuzz

lint: lint-deps ## vet, golangci-lint, shellcheck, actionlint (the first build takes some minutes)
	$(GO) vet ./...
	$(TOOL) golangci-lint run
	git grep --untracked -lE '^#!/.*(/| )(ba)?sh$$' -- ':!*.go' ':!*.md' | xargs shellcheck
	$(GO) tool -modfile=tools/actionlint/go.mod actionlint
	@! grep -rl --include='*_test.go' 'time\.Sleep(' cmd internal pkg | xargs -r grep -L '"testing/synctest"' | \
		sed 's/$$/: sleeps, and not in fake time (testing\/synctest)/' | grep . >&2

vuln: ## look for known vulnerabilities in what is used (needs the internet)
	$(TOOL) govulncheck ./...

fmt: ## format the code
	$(TOOL) golangci-lint fmt

clean: ## remove what the build and the benchmarks left
	rm -rf bin .bench
