# Everything a developer or a curious stranger types. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help setup demo run test bench chaos client-table lint

export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
export UV_THREADPOOL_SIZE ?= 16

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## bring Node 24 and the native bindings (two minutes the first time, then nothing)
	@etc/setup

demo: setup ## a gate with a throw-away target: one ssh command to try, then see what was recorded
	@exec bin/sallyport demo

run: setup ## serve a gate in ./gate, made on the first run
	@[ -e gate/sallyport.yaml ] || bin/sallyport init --dir gate
	@exec bin/sallyport serve --dir gate

test: setup ## lint, then every test against real peers (installs missing ones when it may)
	@test/run

bench: setup ## measure the gate against OpenSSH, interleaved
	@exec node test/bench/main.ts

chaos: setup ## the long loops of the tests in full, and a table of what they measured
	@SALLYPORT_SCALE=full exec node test/chaos/main.ts

client-table: setup ## play a dozen clients directly and through the gate; writes docs/clients.md
	@SALLYPORT_SCALE=full exec node test/clients/main.ts

lint: setup ## tsc, eslint and prettier
	@npm run --silent lint
