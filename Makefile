# `make help` lists what there is. Everything needs Go and make; `test` uses a C compiler for the race detector if there
# is one; `e2e` needs root and the script that raises machines.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

ARCH    ?= $(shell go env GOARCH)
TIME    ?= 20s
RUNS    ?= 10
ONLY    ?=
SEED    ?=
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unversioned)
ETCD    := $(shell go list -m -f '{{.Version}}' go.etcd.io/etcd/server/v3 2>/dev/null)

# Static, without paths, symbols or build id: the same bytes from any directory.
LDFLAGS = -s -w -B gobuildid -X main.version=$(VERSION) -X go.etcd.io/etcd/api/v3/version.GitSHA=$(ETCD)
# The charm's program says too which server and which proxy are in it: nothing restarts for one that is the same.
STAMP   = $(or $(shell go run ./cmd/charm-stamp -arch $(1)),$(error cannot stamp the charm))
CHARM_LDFLAGS = $(LDFLAGS) -X main.stamp=$(call STAMP,$(1))
BUILD   = CGO_ENABLED=0 go build -trimpath -buildvcs=false
TOOL    = go tool -modfile=tools/go.mod

# The race detector needs cgo, which needs a compiler that works, not merely one that is named.
ifeq ($(origin CC),default)
CC := $(shell go env CC)
endif
RACE := $(shell printf 'int main(void){return 0;}' | $(CC) -x c -o /dev/null - 2>/dev/null && echo -race)

MACHINES ?= $(abspath ../shared/machines/machines)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: bin/etcd-charm bin/juju-sim bin/juju-sim-tool ## build bin/etcd-charm (the charm) and bin/juju-sim (a Juju model on one machine)

# Go knows better than make when a binary is stale, and takes a second to say so.
.PHONY: FORCE
FORCE:

bin/etcd-charm: FORCE
	@$(BUILD) -ldflags '$(call CHARM_LDFLAGS,$(shell go env GOARCH))' -o $@ ./cmd/etcd-charm

bin/juju-sim: FORCE
	@$(BUILD) -ldflags '$(LDFLAGS)' -o $@ ./cmd/juju-sim

bin/juju-sim-tool: FORCE
	@$(BUILD) -ldflags '-s -w' -o $@ ./cmd/juju-sim/juju-sim-tool

.PHONY: demo
demo: build charm ## three members and two proxies as real processes: relate, write, read, kill the leader; KEEP=1 leaves them up
	@CHARM='$(CURDIR)/dist/etcd_$(ARCH).charm' bin/juju-sim script $(if $(KEEP),--hold) test/demo/demo.txt

# A script that goes on and on is ended by its own limits; this one is for a machine that takes ten times as long.
LIMIT = -timeout 4h

.PHONY: test
test: build charm ## every test that needs no root, with the race detector if there is a C compiler; 20 minutes on two quiet cores at most
	@$(if $(RACE),true,echo 'make test: no working C compiler ($(CC)), so the tests run without the race detector')
	@echo 'make test: each package is named as it ends, and what takes a while within it; first they are built, which may take minutes'
	@go build -o bin/progress ./test/progress
	@# The simulation of Juju and etcd runs whole, which the race detector would make too slow; it has no concurrency to watch.
	@{ failed=0; \
	  $(if $(RACE),CGO_ENABLED=1 CC='$(CC)' )go test -json $(RACE) $(LIMIT) $$(go list ./... | grep -v '/internal/sim/fate$$') || failed=1; \
	  CGO_ENABLED=0 go test -json $(LIMIT) ./internal/sim/fate || failed=1; \
	  exit $$failed; } | bin/progress

# What finds the more the longer it looks, each for as long as NIGHT says, and what is too slow for make test.
NIGHT = 30m

.PHONY: nightly
nightly: ## all that takes longer: make test, fuzz, fate, mutants, conformance, robustness, the bench of the data's second life (NIGHT=30m each, 1m for each fuzz test)
	@failed=; \
	for target in test 'fuzz TIME=1m' 'fate TIME=$(NIGHT)' mutants conformance 'robustness TIME=$(NIGHT)' 'bench ONLY=second-life'; do \
	  echo "== make $$target"; \
	  $(MAKE) --no-print-directory $$target || failed+=" [$$target]"; \
	done; \
	[[ -z $$failed ]] || { echo "make nightly: these failed:$$failed" >&2; exit 1; }

.PHONY: e2e
e2e: machines charm bin/juju-sim-tool ## the packed charm on machines with systemd (root; MACHINES=path of the script that raises them)
	@MACHINES='$(MACHINES)' CHARM="$(CURDIR)/dist/etcd_$$(go env GOARCH).charm" TOOL='$(CURDIR)/bin/juju-sim-tool' \
	CGO_ENABLED=0 go test -tags e2e -count 1 -v $(LIMIT) ./test/e2e

.PHONY: machines
machines:
	@test -x '$(MACHINES)' || { echo 'make e2e: no machines script at $(MACHINES): set MACHINES to its path' >&2; exit 1; }

.PHONY: charm
charm: ## write dist/etcd_ARCH.charm and read it back (ARCH=amd64 or arm64)
	@GOARCH=$(ARCH) $(BUILD) -ldflags '$(call CHARM_LDFLAGS,$(ARCH))' -o bin/linux_$(ARCH)/etcd-charm ./cmd/etcd-charm
	@go run ./cmd/charm-pack -program bin/linux_$(ARCH)/etcd-charm -arch $(ARCH) -version $(VERSION) -out dist/etcd_$(ARCH).charm

.PHONY: lint
lint: ## format, vet, linters, tidy modules; changes nothing
	go mod tidy -diff
	go vet -tags e2e ./...
	@# golangci-lint runs the formatter gofumpt too and prints what it would change.
	$(TOOL) golangci-lint run --allow-parallel-runners ./...
	bash -n .ci/run

.PHONY: format
format: ## rewrite the sources as `make lint` wants them
	$(TOOL) golangci-lint fmt ./...

.PHONY: bench
bench: build charm ## what it costs and what users feel, beside bare etcd and other proxies; writes dist/bench.json (RUNS=10, ONLY=prefixes of names or second-life, which takes long and is left out else)
	@go run ./test/bench -charm "dist/etcd_$$(go env GOARCH).charm" -n $(RUNS) -only '$(ONLY)' -o dist/bench.json

.PHONY: robustness
robustness: build ## maintenance and faults at once, while clients read, write and watch: nothing lost, stale or out of order (TIME=5m, SEED=)
	go run ./test/robustness -ldflags '$(call CHARM_LDFLAGS,$(shell go env GOARCH))' -time $(if $(filter file,$(origin TIME)),5m,$(TIME)) $(if $(SEED),-seed $(SEED))

.PHONY: fate
fate: ## random schedules of all that can happen to a cluster, in memory, after every crash point and fault (TIME=1m, SEED=the first)
	@FATE=$(if $(filter file,$(origin TIME)),1m,$(TIME)) go test -count 1 -v -timeout 24h ./internal/sim/fate $(if $(SEED),-first $(SEED)) \
	  | grep -vE '^=== |^ +--- PASS'

.PHONY: mutants
mutants: ## break the decisions in a dozen ways, and the sources in four dozen, and print what catches them
	@failed=0; for room in internal/sim/fate test/mutants; do \
	  go test -count 1 -v $(LIMIT) -run Mutant ./$$room | grep --line-buffered -E 'mutants|FAIL|^ok|_test.go' || failed=1; \
	done; exit $$failed

# A module of its own, since Juju stands under the AGPL: nothing of it comes into what we build or ship.
.PHONY: conformance
conformance: build charm ## the simulator's hook tools beside Juju's own commands, call by call, while the charm lives in it
	@cd test/conformance && go mod tidy -diff && go vet . && go test -vet off -count 1 -v -timeout 30m . | grep -v '^=== '

# One build for each package, since linking etcd takes longer than many a fuzz test.
.PHONY: fuzz
fuzz: ## every fuzz test in turn (TIME=20s each, ONLY=regexp of their names); what is found stays in testdata/fuzz
	@failed=; program=$$(mktemp); trap 'rm -f "$$program"' EXIT; \
	for dir in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
	  names=$$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$dir/*_test.go | grep -E '$(ONLY)') || continue; \
	  go test -vet off -c -fuzz . -o "$$program" ./$$dir || { failed+=" ./$$dir"; continue; }; \
	  for name in $$names; do \
	    echo "== ./$$dir $$name"; \
	    (cd $$dir && "$$program" -test.run '^$$' -test.fuzz "^$$name\$$" -test.fuzztime $(TIME) \
	      -test.fuzzcachedir "$$(go env GOCACHE)/fuzz/$$(go list .)") || failed+=" ./$$dir:$$name"; \
	  done; \
	done; \
	[[ -z $$failed ]] || { echo "make fuzz: these failed:$$failed" >&2; exit 1; }

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
