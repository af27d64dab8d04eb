# The front door. Run from the root of the repository; needs Go, make and a C
# compiler (for the race detector), nothing else.
#
# `work` is the pattern for all packages of all modules of go.work; `./...` here
# means those of the root module only.

T = 10s
SEEDS = 500
SEED =
CUTS =
RERUN = 100
ATTACKS = 400ms
ROUNDS = 5
CLIENTS = 10000
PANICS = 1000000

CHECK = go run ./tools/check
COVERAGE = .coverage/profile

.PHONY: help test lint fmt fuzz cuts chaos attacks soak panics storm model mutants bench bench-quick bench-go demo

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

# One run for everything: every test binary counts in the whole root module, and
# the check adds the counts up, so that a package is also covered by its
# neighbours' tests. (The patterns of -coverpkg take no account of modules, hence
# the list; the percentages that go test prints are those of one test binary over
# all packages, so sed takes them out.) Vet is left to lint. Allocation budgets do
# not hold under the race detector: the packages that have some are tested once
# more without it.
test: ## test all modules with the race detector; coverage by package
	@mkdir -p .coverage
	@echo go test -race -shuffle=on work
	@packages=$$(go list ./... | paste -s -d , -); \
	{ go test -race -shuffle=on -vet=off -timeout=5m -coverpkg="$$packages" -coverprofile=$(COVERAGE) work 2>&1; \
		echo $$? >.coverage/status; } \
	| sed -e '/^[[:space:]].*coverage: 0\.0%/d' -e '/^coverage: /d' -e 's/[[:space:]]*coverage: .* in [^[]*//'; \
	exit $$(cat .coverage/status)
	@dirs=$$(grep -rl --include='*_test.go' 'testing\.AllocsPerRun(' . | sed 's|/[^/]*$$||' | sort -u); \
	if [ -n "$$dirs" ]; then \
		echo go test $$dirs; \
		go test -vet=off -timeout=5m $$dirs; \
	fi
	@$(CHECK) coverage $(COVERAGE)

lint: ## check formatting, vet, staticcheck, imports and modules
	@echo gofumpt
	@unformatted=$$(go tool gofumpt -l .) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "make fmt would change:"; echo "$$unformatted"; exit 1; fi
	@echo modules
	@$(CHECK) modules
	@echo imports
	@$(CHECK) imports
	@$(CHECK) size
	@echo mutants
	@go run ./tools/mutants -list >/dev/null
	@echo vet
	@go vet work
	@echo staticcheck
	@go tool staticcheck work

fmt: ## format all Go code with gofumpt
	go tool gofumpt -w .

fuzz: ## run every fuzz target of all modules in turn, each for T=10s
	@go list -f '{{.Dir}} {{.ImportPath}}' work | while read -r dir package; do \
		for target in $$(cat "$$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do \
			echo "fuzz $$target of $$package for $(T)"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(T) -fuzzminimizetime 20x "$$package" </dev/null || exit 1; \
		done; \
	done

cuts: ## cut a dialogue at every byte, each way, in each manner; CUTS=all: also inside large bodies
	CUTS=$(CUTS) go test -count=1 -timeout=120m -v -run 'TestTheDialogue|TestACut' ./internal/integration/faults

chaos: ## run SEEDS=500 random programs under random faults, or SEED=n RERUN=100
	SEEDS=$(SEEDS) SEED=$(SEED) RERUN=$(RERUN) go test -count=1 -timeout=60m -v -run 'TestChaos|TestHistories' ./internal/integration/faults

attacks: ## attacks over real sockets, and what honest clients keep: ROUNDS=5 of ATTACKS=400ms
	ATTACKS=$(ATTACKS) ROUNDS=$(ROUNDS) go test -count=1 -timeout=30m -v -run TestAttacksOverSockets ./internal/integration/attacks

soak: ## sockets that break every few milliseconds, for T=10s with a session, and without
	SOAK=$(T) go test -count=1 -timeout=0 -v -run TestSocketsThatBreak ./internal/integration

panics: ## PANICS=1000000 commands that panic, on one connection
	PANICS=$(PANICS) go test -count=1 -timeout=10m -v -run TestManyCommandsPanic ./internal/integration

storm: ## CLIENTS=10000 lose their connections at once, and come back
	CLIENTS=$(CLIENTS) go test -count=1 -timeout=10m -v -run TestAllClientsComeBack ./internal/integration

model: ## explore the session protocol, with each rule and without; FULL=1 for more
	go run ./internal/model $(if $(FULL),-full)

mutants: ## plant small faults one by one, and see that the tests notice each
	go run ./tools/mutants

bench: ## compare with other libraries, for about an hour; bench/README.md says how
	go run ./bench -out bench/results

bench-quick: ## a first look at the same, in under two minutes
	go run ./bench -quick -out bench/results

bench-go: ## run the Go benchmarks of the root module
	go test -run '^$$' -bench . -benchmem ./...

demo: ## show a server and a client at work
	go run ./cmd/cmdstream demo
