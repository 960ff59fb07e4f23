# `make demo` shows touchstone at work; `make test` runs the tests. Both set up what they need.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-tests build install program demo test test-kill test-api test-console test-stores test-azure test-spark check fmt clippy unit doc bench bench-embed bench-scan bench-index bench-serve calibrate catalogue clean

CARGO ?= cargo
PREFIX ?= /usr/local

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## check the tools, fetch the pinned ONNX Runtime into vendor/ort/
	@scripts/setup.sh

# Checked at the start: they would be missed at the end.
setup-tests:
	@scripts/setup.sh --tests

build: setup ## build the program: target/release/touchstone
	@$(CARGO) build --release --locked

# Builds nothing: who may write there often has no Rust.
install: ## copy what `make build` made to PREFIX [/usr/local]
	@scripts/install.sh "$(DESTDIR)$(PREFIX)"

demo: build ## register the fixtures' assets and catch them in the fixtures' listings
	@scripts/demo.sh

test: setup-tests check ## all checks and tests but test-kill, test-azure, test-spark
	$(CARGO) test --locked --test it
	@$(MAKE) --no-print-directory test-api
	@$(MAKE) --no-print-directory test-console
	@$(MAKE) --no-print-directory test-stores

test-kill: setup ## an index killed 200 times while it is changed, merged and saved
	$(CARGO) test --locked --test it -- --ignored --exact kill::an_index_killed_two_hundred_times_opens_and_has_lost_nothing

# As `cargo build` makes it, half of the crates would be compiled again, with other features.
program: setup
	$(CARGO) test --locked --test it --no-run

test-api: program ## requests made from the API's description, good and bad, to a real server: no answer may be a 5xx
	@scripts/test_api.sh

test-console: program ## the console in headless Chromium; screenshots in target/screenshots/
	@scripts/test_console.sh

test-stores: program ## photos and manifests in object stores, against a real S3 server
	@scripts/test_stores.sh

test-azure: program ## the same, and Azure's store; needs Node.js and npm
	@scripts/test_stores.sh --azure

test-spark: build ## a scan on a Spark cluster on this machine, one worker killed in the middle; needs Java 17
	@integrations/spark/test_cluster.sh

check: setup fmt clippy unit doc ## the fast loop: format, lints, unit tests, documentation

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --locked --all-targets -- -D warnings

unit:
	$(CARGO) test --locked --lib

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

bench: bench-embed bench-index bench-scan bench-serve ## all benches; results are kept by hand in benches/RESULTS.md

bench-embed: build ## decoding and the network, beside the Python way
	@benches/python/run.sh embed

bench-index: setup ## search in 100,000 vectors, beside hnswlib, usearch and faiss; MILLION=1: in a million, too
	@benches/python/run.sh index $(if $(MILLION),--million)

bench-scan: build ## photos a second from file to verdict, beside the Python way
	@benches/python/run.sh scan

bench-serve: build ## latency and photos a second over HTTP, beside in-process
	@benches/python/run.sh serve

calibrate: build ## fit models/judge.json anew on pictures made from licensed packages
	@scripts/calibrate.sh

catalogue: ## a shop's 100,000 listing photos to scan, in data/catalogue (2 GB, some ten minutes)
	@benches/python/catalogue.sh

clean: ## remove everything that can be made again
	rm -rf target vendor demo benches/data
