# Everything a person does with a checkout. What the targets want beside Go is named when it is missing.

FUZZTIME ?= 10s
RELAYED  ?= 20000

.PHONY: run build test soak bench fuzz mutate lint generate peers

# Build it and watch a message go through.
run: build
	bin/sluice quickstart

build:
	CGO_ENABLED=0 go build -trimpath -o bin/sluice ./cmd/sluice

# Every test, with the race detector. Tests of software that is not installed are skipped, and say how it is installed.
test:
	go vet -race ./...
	go test -race -shuffle=on ./...

# The long tests: many messages, kills, power cuts and outages, without the race detector.
soak:
	SLUICE_SOAK=1 go test -count=1 -timeout=60m -v -run='PowerCut|EachWriteFails' ./internal/spool/pebble
	SLUICE_SOAK=1 SLUICE_PEER_MESSAGES=$(RELAYED) go test -count=1 -timeout=60m -v ./test/soak/... ./test/peers/...

# Messages a second, end to end, beside Postfix and the least a durable relay can do.
bench:
	test/bench/run

# Every fuzz target there is, for a while each, on one core each; a package's targets share a binary.
fuzz:
	@grep -rlE '^func Fuzz' --include='*_test.go' cmd internal test | xargs -n1 dirname | sort -u | \
		xargs -P "$$(getconf _NPROCESSORS_ONLN)" -I{} test/fuzz/run {} $(FUZZTIME)

# Switch the guards off that the promises of survival (S1 to S40) stand on, one at a time, and see their tests fail. MUTATE selects guards by a regular expression.
mutate:
	go run ./test/mutate -run='$(MUTATE)'

# What make test builds, with the race detector, is not built again.
lint:
	@unformatted=$$(gofmt -l cmd internal test); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	go mod tidy -diff
	go build -o bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	GOFLAGS=-race bin/staticcheck ./...

# The configuration reference of docs/operate.md and the tables of docs/conformance.md; and, given the API model, the types and
# tables of internal/mailmanager.
generate:
	go test -race ./cmd/sluice -run='^TestReference$$' -args -update
	go test -race ./internal/conform -run='^TestDocument$$' -args -update
	@if [ -n "$$SLUICE_MODEL" ]; then go generate ./internal/mailmanager; \
	else echo "SLUICE_MODEL names no API model: internal/mailmanager stays as it is"; fi

# What the tests of test/peers want of npm.
peers:
	npm ci --prefix test/peers/js
