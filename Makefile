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
# Those of agenttest take minutes each: make bench-agent.
BENCH_PKG  ?= $(filter-out ./internal/agenttest/,$(sort $(addprefix ./,$(dir $(shell grep -rl --include='*_test.go' '^func Benchmark' cmd internal pkg)))))
BENCH_FILE ?= .bench/$(shell date -u +%Y%m%dT%H%M%SZ).txt

# What --version says. The date is the commit's, so that a build can be repeated.
BUILDINFO := github.com/gometheus/gometheus/internal/common/buildinfo
VERSION   ?= $(patsubst v%,%,$(shell git describe --tags --match='v*' 2>/dev/null))
COMMIT    ?= $(shell git rev-parse --verify --quiet HEAD 2>/dev/null)$(if $(shell git status --porcelain 2>/dev/null),-dirty)
DATE      ?= $(shell TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
LDFLAGS   := -X $(BUILDINFO).version=$(VERSION) -X $(BUILDINFO).commit=$(COMMIT) -X $(BUILDINFO).date=$(DATE)

.PHONY: help run bin cross vendor-assets test test-deps test-race crash security bench bench-agent fuzz lint lint-deps vuln fmt clean \
	release-dry release package-test container-test \
	build up down logs logsf vet-server test-server test-race-server vet-agent test-agent test-race-agent \
	pprof-cpu-server pprof-mem-server pprof-cpu-agent pprof-mem-agent

help: ## list these targets
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ On this machine, without Docker

run: bin ## build both programs and run them together; Ctrl-C stops them
	@exec scripts/run

bin: ## build bin/server and bin/agent
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='$(LDFLAGS)' -o bin/ ./cmd/server ./cmd/agent

cross: ## compile for the other systems that are supported, a 32-bit one among them
	GOOS=linux GOARCH=arm GOARM=7 CGO_ENABLED=0 $(GO) build ./cmd/agent ./cmd/server
	GOOS=windows CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/agent
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build ./cmd/agent ./cmd/server

test: test-deps ## run the tests; installs what they need and the machine lacks
	$(GO) test -timeout=$(TIMEOUT) $(TESTFLAGS) $(PKG)

test-race: test-deps ## run the tests under the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout=$(TIMEOUT) $(TESTFLAGS) $(PKG)

crash: test-deps ## the long form of the crash harness: thousands of kills, power cuts and faults (hours)
	GOMETHEUS_LONG=1 $(GO) test -timeout=6h -v $(TESTFLAGS) $(or $(CRASH_PKG),./internal/crashtest ./internal/common/journal ./internal/server/storage/... ./internal/agent/...)

security: test-deps ## the long form of the security harness: bombs, 10,000 slow clients, floods, 10 million names, random life (half an hour)
	GOMETHEUS_LONG=1 $(GO) test -count=1 -timeout=2h -v $(TESTFLAGS) $(or $(SECURITY_PKG),./internal/securitytest)

test-deps:
	@scripts/test-deps

lint-deps:
	@scripts/test-deps lint

bench: ## run the benchmarks and compare what is side by side (impl=…)
	@mkdir -p $(dir $(BENCH_FILE))
	$(GO) test -run='^$$' -bench='$(BENCH)' -benchmem -benchtime=$(BENCHTIME) -count=$(COUNT) -timeout=2h $(BENCH_PKG) | tee $(BENCH_FILE)
	@echo
	@$(TOOL) benchstat -col /impl $(BENCH_FILE)

bench-agent: test-deps ## measure what the agent takes of the machine, beside node_exporter, and with its server away (minutes; GOMETHEUS_LONG=1: over an hour)
	$(GO) test -run='^$$' -bench='$(BENCH)' -benchtime=1x -timeout=2h $(TESTFLAGS) ./internal/agenttest

vendor-assets: ## bring the files of npm that stand in this repository (needs npm), and check their checksums
	@scripts/vendor-assets

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

clean: ## remove what builds and benchmarks left
	rm -rf bin .bench dist .release-tools

##@ Packages

release-dry: ## build archives, .deb, .rpm, SBOMs and checksums into dist/, and publish nothing (first time: minutes)
	@scripts/release --snapshot

release: ## build the same from the tag that is checked out, and upload it as a draft (needs GITHUB_TOKEN)
	@test -n "$$GITHUB_TOKEN" || { echo 'release: GITHUB_TOKEN is not set; make release-dry needs none' >&2; exit 1; }
	@scripts/release

package-test: test-deps release-dry ## check what release-dry built: contents, units, installed on a scratch root, running, the same bytes twice
	GOMETHEUS_DIST=$(CURDIR)/dist $(GO) test -count=1 -timeout=1h $(TESTFLAGS) ./deploy/...

container-test: ## check docker-compose.yml and the Dockerfiles with the parsers of Docker; needs none
	cd tools/containers && $(GO) test -count=1 $(TESTFLAGS) ./...

##@ In containers; these need Docker with Compose

# docker compose with what --version shall say.
COMPOSE = @TARGET=$@ VERSION='$(VERSION)' COMMIT='$(COMMIT)' DATE='$(DATE)' scripts/compose
# go vet or go test of a program in its container.
CHECK = $(COMPOSE) --profile dev run --rm --build -e TESTFLAGS='$(TESTFLAGS)'

build: ## build the images of server and agent (the programs themselves: make bin)
	$(COMPOSE) build server agent

up: ## start PostgreSQL, server and agent and wait until they are healthy (without Docker: make run)
	$(COMPOSE) up --detach --wait
	@echo "http://localhost:$${PORT:-$$(sed -n 's/^PORT=//p' .env 2>/dev/null | grep . || echo 8080)}/ shows what arrives; make down stops all" >&2

down: ## stop and remove the containers; the volumes with the data stay
	$(COMPOSE) down

logs: ## show the containers' logs
	$(COMPOSE) logs

logsf: ## show them and follow
	$(COMPOSE) logs --follow

vet-server: ## go vet of the server and what it uses, in its container
	$(CHECK) server-dev scripts/check vet server

test-server: ## go test of the server and what it uses, in its container (of everything, here: make test)
	$(CHECK) server-dev scripts/check test server

test-race-server: ## go test -race of the same (of everything, here: make test-race)
	$(CHECK) server-dev scripts/check test-race server

vet-agent: ## go vet of the agent and what it uses, in its container
	$(CHECK) agent-dev scripts/check vet agent

test-agent: ## go test of the agent and what it uses, in its container
	$(CHECK) agent-dev scripts/check test agent

test-race-agent: ## go test -race of the same
	$(CHECK) agent-dev scripts/check test-race agent

pprof-cpu-server: ## let the running server write a CPU profile (30 s), and bring it to profiles/
	@scripts/pprof cpu server

pprof-mem-server: ## let it write a heap profile, and bring that
	@scripts/pprof mem server

pprof-cpu-agent: ## the same of the running agent: CPU
	@scripts/pprof cpu agent

pprof-mem-agent: ## and heap
	@scripts/pprof mem agent
