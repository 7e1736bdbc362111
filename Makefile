# `make help` lists what there is. Everything needs Go and make; `test` uses a C compiler for the race detector if there
# is one; `e2e` needs root.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

ARCH    ?= $(shell go env GOARCH)
TIME    ?= 20s
RUNS    ?= 10
ONLY    ?=
SEED    ?=
# What a source archive is of, as git has written it into VERSION: version or nothing, commit, date. Nothing in a work tree.
ORIGIN  := $(shell sed -E '/Format/d; s/\<([0-9a-f]{12})[0-9a-f]{28}\>/\1/' VERSION 2>/dev/null)
VERSION := $(or $(firstword $(ORIGIN)),$(shell git describe --tags --match 'v*' --abbrev=12 --always --dirty 2>/dev/null),unversioned)
# What the entries of archives are dated: by the commit, so that each build of it is the same.
SOURCE_DATE_EPOCH ?= $(or $(lastword $(ORIGIN)),$(shell git log -1 --format=%ct 2>/dev/null))
ETCD    := $(shell go list -m -f '{{.Version}}' go.etcd.io/etcd/server/v3 2>/dev/null)

# Static, without paths, symbols or build id: the same bytes from any directory.
LDFLAGS = -s -w -B gobuildid -X main.version=$(VERSION) -X go.etcd.io/etcd/api/v3/version.GitSHA=$(ETCD)
# The charm's program says too which server and which proxy are in it: nothing restarts for one that is the same.
STAMP   = $(or $(shell $(RUN) ./cmd/charm-stamp -arch $(1)),$(error cannot stamp the charm))
CHARM_LDFLAGS = $(LDFLAGS) -X main.stamp=$(call STAMP,$(1))
# The same for all that is built on the way to a charm: with other flags the standard library would be compiled again.
FLAGS   = -trimpath -buildvcs=false
BUILD   = CGO_ENABLED=0 go build $(FLAGS)
RUN     = CGO_ENABLED=0 go run $(FLAGS)
# After `go build -v`: how many packages it has compiled, since the first build takes minutes; none is said of what is there.
COUNT   = 2>&1 | { n=0; while IFS= read -r line; do \
	  if [[ $$line =~ ^[A-Za-z0-9._/~-]+$$ ]]; then (( ++n % 100 )) || echo "  $$n packages compiled"; else echo "$$line" >&2; fi; \
	  done; (( n < 100 )) || echo "  $$n packages compiled: done"; }
TOOL    = go tool -modfile=tools/go.mod

# The race detector needs cgo, which needs a compiler that works, not merely one that is named.
ifeq ($(origin CC),default)
CC := $(shell go env CC)
endif
RACE := $(shell printf 'int main(void){return 0;}' | $(CC) -x c -o /dev/null - 2>/dev/null && echo -race)

# Another script will do that takes the same commands.
MACHINES ?= test/machines/machines

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: bin/etcd-charm bin/juju-sim bin/juju-sim-tool ## build bin/etcd-charm (the charm) and bin/juju-sim (a Juju model on one machine)

# Go knows better than make when a binary is stale, and takes a second to say so.
.PHONY: FORCE
FORCE:

# Said before anything is compiled, stamps among it.
.PHONY: first
first:
	@[[ -e bin/etcd-charm ]] || echo 'the first build compiles about 700 packages, etcd and the standard library among them: this takes minutes, once'

bin/etcd-charm: FORCE first
	@$(BUILD) -v -ldflags '$(call CHARM_LDFLAGS,$(shell go env GOARCH))' -o $@ ./cmd/etcd-charm $(COUNT)

bin/juju-sim: FORCE
	@$(BUILD) -v -ldflags '$(LDFLAGS)' -o $@ ./cmd/juju-sim $(COUNT)

bin/juju-sim-tool: FORCE
	@$(BUILD) -ldflags '-s -w' -o $@ ./cmd/juju-sim/juju-sim-tool

.PHONY: demo
demo: build charm ## three members and two proxies as real processes: relate, write, read, kill the leader; KEEP=1 keeps them running
	@CHARM='$(CURDIR)/dist/etcd_$(ARCH).charm' bin/juju-sim script --story $(if $(KEEP),--hold) test/demo/demo.txt

# Scripts run real etcd, and what they start is built without the race detector. They wait more than they compute, so the
# other packages run beside them.
SCRIPTS = ./test/system ./test/pages
# Last come the scripts that wait most, and the simulation of Juju and etcd in memory, which only computes and has no
# concurrency that the race detector could watch.
LAST  = ./test/living ./test/wayup ./internal/sim/fate
LATER = $(LAST)

# Tests of these packages start their own program as etcd. That program is built without the race detector, which makes
# a server several times slower.
SERVERS = ./internal/host ./internal/proxy ./internal/secondlife ./internal/snapshot

# Those that have nothing concurrent, and a table of hundreds of hooks one after another, gain nothing from the race
# detector.
UNRACED = ./interfaces/... ./internal/pack ./internal/stamp ./internal/licence ./internal/rooms ./internal/regular ./test/endpoint
TABLES  = TestDamages

# A script that goes on and on is ended by its own limits; this one is for a machine that takes ten times as long.
LIMIT = -timeout 4h

.PHONY: test
test: build charm ## every test that needs no root, what is concurrent with the race detector if there is a C compiler; 20 minutes on two quiet cores
	@$(if $(RACE),true,echo 'make test: no working C compiler ($(CC)), so the tests run without the race detector')
	@echo 'make test: each package is named as it ends, and what takes a while within it; first they are built, which may take minutes'
	@go build -o bin/progress ./test/progress
	@CGO_ENABLED=0 go test -c -o bin/quick/ $(SERVERS)
	@{ failed=0; \
	  { CGO_ENABLED=0 go test -json -p 3 -parallel 3 $(LIMIT) $(SCRIPTS) $(UNRACED) && \
	    CGO_ENABLED=0 go test -json $(LIMIT) -run '^$(TABLES)$$' ./internal/host; } >bin/scripts.json & scripts=$$!; \
	  $(if $(RACE),CGO_ENABLED=1 CC='$(CC)' )QUICK='$(CURDIR)/bin/quick' go test -json $(RACE) -p 2 $(LIMIT) -skip '^$(TABLES)$$' $$(go list ./... | grep -vFx -e "$$(go list $(SCRIPTS) $(UNRACED) $(LAST))") || failed=1; \
	  wait $$scripts || failed=1; cat bin/scripts.json; \
	  $(if $(LATER),CGO_ENABLED=0 go test -json -p 3 -parallel 3 $(LIMIT) $(LATER) || failed=1;) \
	  exit $$failed; } | bin/progress

# A part of make test, to be run beside something that waits: make test LATER= leaves it out, and has built what it needs.
.PHONY: later
later:
	@CGO_ENABLED=0 go test -p 3 -parallel 3 $(LIMIT) $(LATER)

# What finds the more the longer it looks, each for as long as NIGHT says, and what is too slow for make test.
NIGHT = 30m
FUZZ  = 1m
LONG  = test fuzz fate mutants conformance robustness bench second-life

.PHONY: nightly
nightly: ## everything that takes long (NIGHT=30m each, FUZZ=1m for each fuzz test, LONG='test fuzz …' for some of it); writes dist/nightly.md
	@VERSION='$(VERSION)' NIGHT='$(NIGHT)' FUZZ='$(FUZZ)' LONG='$(LONG)' .ci/nightly

.PHONY: e2e
e2e: machines charm bin/juju-sim-tool ## the packed charm on machines with systemd (root; ONLY=regexp of tests, MACHINES=another script that starts machines)
	@MACHINES='$(abspath $(MACHINES))' CHARM="$(CURDIR)/dist/etcd_$$(go env GOARCH).charm" TOOL='$(CURDIR)/bin/juju-sim-tool' \
	CGO_ENABLED=0 go test -tags e2e -count 1 -v $(LIMIT) $(if $(ONLY),-run '$(ONLY)') ./test/e2e

.PHONY: machines
machines:
	@test -x '$(MACHINES)' || { echo 'make e2e: $(MACHINES) cannot be run: MACHINES names the script that starts machines' >&2; exit 1; }

.PHONY: charm
charm: first ## write dist/etcd_ARCH.charm and read it back (ARCH=amd64 or arm64)
	@GOARCH=$(ARCH) $(BUILD) -v -ldflags '$(call CHARM_LDFLAGS,$(ARCH))' -o bin/linux_$(ARCH)/etcd-charm ./cmd/etcd-charm $(COUNT)
	@$(RUN) ./cmd/charm-pack -program bin/linux_$(ARCH)/etcd-charm -arch $(ARCH) -version $(VERSION) -date '$(SOURCE_DATE_EPOCH)' -out dist/etcd_$(ARCH).charm

# What must pass before a release is made.
CHECK = lint test

.PHONY: release
release: ## check (CHECK='lint test'), then write what is published to dist: charms, sources, SBOMs, checksums, notes
	@VERSION='$(VERSION)' CHECK='$(CHECK)' .ci/release

.PHONY: lint
lint: ## format, vet, linters, tidy modules; changes nothing
	go mod tidy -diff
	go vet -tags e2e ./...
	@# golangci-lint runs the formatter gofumpt too and prints what it would change.
	$(TOOL) golangci-lint run --allow-parallel-runners ./...
	for script in .ci/* test/machines/machines; do bash -n "$$script" || exit 1; done

.PHONY: format
format: ## format the sources as `make lint` requires
	$(TOOL) golangci-lint fmt ./...

.PHONY: bench
bench: build charm ## cost and latency, compared with bare etcd and other proxies; writes dist/bench.json (RUNS=10, ONLY=prefixes of names, or second-life, which takes long and is not run otherwise)
	@go run ./test/bench -charm "dist/etcd_$$(go env GOARCH).charm" -n $(RUNS) -only '$(ONLY)' -o dist/bench.json

.PHONY: second-life
second-life: ## snapshots, restores and recoveries of a large database, compared with etcd's own tools; adds to dist/bench.json
	@$(MAKE) --no-print-directory bench ONLY=second-life

.PHONY: robustness
robustness: build ## maintenance and faults while clients read, write and watch: nothing lost, stale or out of order (TIME=5m, SEED=)
	go run ./test/robustness -ldflags '$(call CHARM_LDFLAGS,$(shell go env GOARCH))' -time $(if $(filter file,$(origin TIME)),5m,$(TIME)) $(if $(SEED),-seed $(SEED))

.PHONY: fate
fate: ## every crash point and fault, then random schedules of all that can happen to a cluster, in memory (TIME=1m, SEED=the first)
	@FATE=$(if $(filter file,$(origin TIME)),1m,$(TIME)) go test -count 1 -v -timeout 24h ./internal/sim/fate $(if $(SEED),-first $(SEED)) \
	  | grep -vE '^=== |^ +--- PASS'

.PHONY: mutants
mutants: ## break the decisions in two dozen ways and the sources in seven dozen, and print which tests notice
	@failed=0; for room in internal/sim/fate 'test/mutants -every 1'; do \
	  go test -count 1 -v $(LIMIT) -run Mutant ./$$room | grep --line-buffered -E 'mutants|FAIL|^ok|_test.go' || failed=1; \
	done; exit $$failed

# A module of its own, since Juju stands under the AGPL: nothing of it comes into what we build or ship.
.PHONY: conformance
conformance: build charm ## compare the simulator's hook tools with Juju's own commands, call by call, while the charm runs in it
	@cd test/conformance && go mod tidy -diff && go vet . && go test -vet off -count 1 -v -timeout 30m . | grep -v '^=== '

# One build for each package, since linking etcd takes longer than many a fuzz test.
.PHONY: fuzz
fuzz: ## every fuzz test in turn (TIME=20s each, ONLY=regexp of names); findings stay in testdata/fuzz
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
