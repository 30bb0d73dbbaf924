# Everything that is done to the source. `make` alone lists it.
TOOL := go tool -modfile=tools/go.mod

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: demo
demo: ## six nodes exchange alerts in one process
	go run ./cmd/karaula demo

.PHONY: test
test: ## run all tests
	go test -timeout=30m ./...

.PHONY: race
race: ## run tests with the race detector (needs a C compiler); rooms that only start other processes are left to `test`
	go test -race -timeout=30m $(shell go list ./... | grep -v -e internal/faults$$ -e internal/hostile$$)

.PHONY: lint
lint: ## look for mistakes without running anything
	tools/checkformat
	go vet ./...
	$(TOOL) golangci-lint run ./...
	$(TOOL) buf lint

.PHONY: format
format: ## format all files
	$(TOOL) gofumpt -w .
	$(TOOL) buf format -w

.PHONY: generate
generate: ## generate Go from the protos
	$(TOOL) buf generate --template proto/buf.gen.yaml

.PHONY: fuzz
fuzz: ## fuzz every parser of outside bytes, ten minutes in all
	tools/fuzz 600

.PHONY: faults
faults: KARAULA_KILLS ?= 300
faults: ## break real nodes at length: KARAULA_KILLS=300 kills, damaged files, full disks, cut links
	KARAULA_KILLS=$(KARAULA_KILLS) go test -count=1 -timeout=2h -v ./cmd/karaula/internal/faults

.PHONY: cluster
cluster: KARAULA_CLUSTER ?= 100
cluster: ## kill, split, stop and upgrade a node with three servers at length: KARAULA_CLUSTER=100 kills
	KARAULA_KILLS=1 KARAULA_CLUSTER=$(KARAULA_CLUSTER) go test -count=1 -timeout=2h -v -run Cluster ./cmd/karaula/internal/faults

.PHONY: hostile
hostile: KARAULA_HOSTILE ?= 20
hostile: ## be a partner with valid keys that means harm: KARAULA_HOSTILE=20 times as much as in the tests
	KARAULA_HOSTILE=$(KARAULA_HOSTILE) go test -count=1 -timeout=2h -v ./cmd/karaula/internal/hostile

.PHONY: replay-speed
replay-speed: KARAULA_REPLAY ?= 1000000
replay-speed: ## replay a long history, beside the floor: KARAULA_REPLAY=1000000
	KARAULA_REPLAY=$(KARAULA_REPLAY) go test -count=1 -timeout=2h -v -run ReplaySpeed ./internal/evidence

.PHONY: bench
bench: ## measure end to end, beside the floor
	go run ./cmd/karaula bench

.PHONY: build
build: ## build bin/karaula, without cgo and without paths of this machine
	CGO_ENABLED=0 go build -trimpath -o bin/karaula ./cmd/karaula

.PHONY: ci
ci: ## run what decides whether a change is good
	.ci/run
