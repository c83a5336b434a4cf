# SPDX-License-Identifier: Apache-2.0

GO      ?= go
FUZZFOR ?= 30s
DEMOFOR ?= 20s
SOAKFOR ?= 30m

export CGO_ENABLED ?= 0

.PHONY: help build demo test race lint portable generate fuzz bench compare compare-quick live curves lanes test-bench budget \
  pgo test-root test-kafka drills incident soak reliability

# The profile of the program changes what all of its packages compile to, so each would be compiled
# once more beside what their own tests need.
test race lint portable test-root: export GOFLAGS += -pgo=off

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

build: ## build the program into bin/
	$(GO) build -trimpath -o bin/dnsluice ./cmd/dnsluice

demo: ## show the whole job with nothing but Go installed; DEMOFOR=0 runs until Ctrl-C
	$(GO) run ./cmd/dnsluice demo --for $(DEMOFOR)

test: ## all tests that need neither Java nor, if not run as root, root
	$(GO) test ./...

race: ## the same, floods shortened, with the race detector, which needs a C compiler
	CGO_ENABLED=1 $(GO) test -race -short ./...

lint: ## formatting, vet, staticcheck, generated files, the rules of the tree
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags kafka,drills,soak ./test/...
	$(GO) tool staticcheck ./...
	$(GO) tool staticcheck -tags kafka,drills,soak ./test/...
	$(GO) mod tidy -diff
	@$(MAKE) -s portable SYSTEMS=windows
	$(GO) test -count=1 ./test/layout
	@sums=$$(cat $(GENERATED) | sha256sum); $(MAKE) -s generate; \
	  test "$$sums" = "$$(cat $(GENERATED) | sha256sum)" || { echo "generated files were not up to date: make generate"; exit 1; }

# Captures are read on other machines than sensors run on. The optimiser finds no mistakes, so it is off.
SYSTEMS = windows darwin freebsd
portable: ## build for other systems, where everything works but live capture; SYSTEMS=windows is part of lint
	@set -e; for system in $(SYSTEMS); do echo "build for $$system"; \
	  CGO_ENABLED=0 GOOS=$$system $(GO) build -gcflags='all=-N -l' -o /dev/null ./cmd/dnsluice; done

GENERATED = internal/encode/json/keys.go internal/encode/protobuf/tags.go \
  schema/dns.schema.json schema/dns.proto docs/record.md docs/configuration.md

generate: ## write what is generated from tables
	$(GO) generate ./schema
	$(GO) run ./cmd/dnsluice config --markdown > docs/configuration.md

fuzz: ## each fuzz target for FUZZFOR, a time or a number of inputs, as 30000x
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZFOR) $$pkg; \
	  done; done

bench: ## time and allocations of each stage and of the whole line
	$(GO) test -run '^$$' -bench . -benchmem -cpu 1 ./internal/...

pgo: build ## store the profile of the program at work that it is built with, a minute
	cd bench/compare && $(GO) build -trimpath -o ../../bin/compare .
	rm -rf bin/profiles && mkdir -p bin/profiles
	bin/compare profile -dnsluice bin/dnsluice -o bin/profiles $(PROFILEFLAGS)
	$(GO) tool pprof -proto -output=bin/pgo.pprof bin/profiles/*.pprof
	gzip -dc bin/pgo.pprof | AT=$(CURDIR)/ perl -pe 's{\Q$$ENV{AT}\E}{"-" x length $$&}ge' \
	  | gzip -9n > cmd/dnsluice/default.pgo # without the place where the program was built

# Sensors to compare with, each a binary of that program; one that is not given is left out.
COMPAREWITH = $(if $(DNSMONSTER),-dnsmonster $(DNSMONSTER)) $(if $(DNSCOLLECTOR),-dnscollector $(DNSCOLLECTOR)) \
  $(if $(SKETCH),-sketch $(SKETCH)) $(if $(KAFKA_BROKERS),-brokers $(KAFKA_BROKERS))

compare: build ## beside other sensors: DNSMONSTER=, DNSCOLLECTOR=, SKETCH= binaries, KAFKA_BROKERS=, COMPAREFLAGS='-o docs/performance.md'
	cd bench/compare && $(GO) build -trimpath -o ../../bin/compare .
	bin/compare -dnsluice bin/dnsluice $(COMPAREWITH) $(COMPAREFLAGS)

compare-quick: ## the same over a small capture, to see that it works
	$(MAKE) compare COMPAREFLAGS='-n 100000 -rounds 1 $(COMPAREFLAGS)'

curves: build ## cost as it grows: CURVESFLAGS='-o docs/performance.md -plot docs/growth.svg'
	cd bench/compare && $(GO) build -trimpath -o ../../bin/compare .
	bin/compare curves -dnsluice bin/dnsluice $(CURVESFLAGS)

lanes: build ## what a second lane on a second core adds: LANESFLAGS='-o docs/performance.md'
	cd bench/compare && $(GO) build -trimpath -o ../../bin/compare .
	bin/compare lanes -dnsluice bin/dnsluice $(LANESFLAGS)

live: build ## on an interface, at rates, as root: sudo make live DNSMONSTER= DNSCOLLECTOR= LIVEFLAGS='-o docs/performance.md'
	cd bench/compare && $(GO) build -trimpath -o ../../bin/compare .
	bin/compare live -dnsluice bin/dnsluice $(if $(DNSMONSTER),-dnsmonster $(DNSMONSTER)) \
	  $(if $(DNSCOLLECTOR),-dnscollector $(DNSCOLLECTOR)) $(LIVEFLAGS)

test-bench: ## vet, staticcheck and tests of the modules below bench; one of them needs a C compiler
	@set -e; for module in compare incident; do (cd bench/$$module && export CGO_ENABLED=1 && set -x && \
	  $(GO) vet ./... && $(GO) tool -modfile=../../go.mod staticcheck ./... && $(GO) mod tidy -diff && \
	  $(GO) test ./...); done

budget: ## instructions and allocations a message against the stored budget, by valgrind; UPDATE=1 stores them
	$(GO) vet -tags budget ./test/budget
	$(GO) test -count=1 -timeout 30m -tags budget -v ./test/budget $(if $(UPDATE),-update)

test-root: ## the captures in network namespaces, as root: sudo make test-root
	@test "$$(id -u)" = 0 || { echo "needs root: sudo make test-root"; exit 1; }
	CI=true $(GO) test -count=1 ./internal/capture/afpacket/... ./internal/capture/dnstap/... ./internal/sensor/... ./cmd/...

test-kafka: ## against a real Kafka of one node and of three, which needs Java 17, Maven and kcat
	test/kafka/kafka.sh install
	$(GO) test -count=1 -timeout 30m -tags kafka ./test/kafka/...

drills: ## whole sensors under faults, in the short form, a minute
	$(GO) test -count=1 -timeout 10m -short -tags drills ./test/drills/...

incident: build ## the incident and dnsluice side by side, a minute; needs a C compiler
	cd bench/incident && CGO_ENABLED=1 $(GO) run . -dnsluice ../../bin/dnsluice

soak: ## the program at 50,000 messages a second for SOAKFOR, with one fault after the other
	@mkdir -p bin; rm -f bin/soak.jsonl
	DNSLUICE_SOAK=$(SOAKFOR) DNSLUICE_DRILLS=$(CURDIR)/bin/soak.jsonl $(GO) test -count=1 -timeout 0 \
	  -tags drills,soak -run '^TestSoak$$' -v ./test/drills

reliability: ## all drills, also on a real Kafka if Java is there; docs/reliability.md from their results and the last soak's
	@rm -f bin/drills.jsonl; mkdir -p bin
	DNSLUICE_DRILLS=$(CURDIR)/bin/drills.jsonl $(GO) test -count=1 -timeout 30m -tags drills ./test/drills/... \
	  ./internal/deliver/... ./internal/capture/afpacket
	if command -v java >/dev/null && command -v mvn >/dev/null; then test/kafka/kafka.sh install && \
	  DNSLUICE_DRILLS=$(CURDIR)/bin/drills.jsonl $(GO) test -count=1 -timeout 60m -tags kafka ./test/kafka/...; fi
	cat bin/drills.jsonl $(wildcard bin/soak.jsonl) | $(GO) run ./test/drills/table > docs/reliability.md
