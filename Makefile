# The two commands of the README. Each installs what a bare Debian with Rust lacks.
SHELL := /bin/bash
.DEFAULT_GOAL := help
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# $(call need,TEST COMMAND,PACKAGES): installs Debian packages unless the test command succeeds.
need = @$(1) >/dev/null 2>&1 || { echo "installing $(2)"; \
	$(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $(2); }

.PHONY: help up test lint compiler postgres browser python

help:
	@echo "make up [DATA=listings.csv.gz] [BIND=127.0.0.1:8000]   import, train, serve"
	@echo "make test                                              all tests"
	@echo "make lint                                              formatting and lints"

up: compiler postgres
	cargo build --release --locked
	./target/release/probeg up $(foreach file,$(DATA),--data $(file)) $(if $(BIND),--bind $(BIND))

test: compiler postgres browser python
	cargo fmt --all --check
	PROBEG_TEST_PYTHON=$(CURDIR)/target/python/bin/python cargo test --workspace --locked

lint: compiler
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

compiler:
	$(call need,command -v cc,gcc libc6-dev)

postgres:
	$(call need,ls $${PG_BIN_DIR:-/usr/lib/postgresql/*/bin}/initdb || [ -n "$$DATABASE_URL" ],postgresql)

browser:
	$(call need,command -v chromedriver && command -v chromium,chromium chromium-driver)

# Another ONNX runtime, in another language, to hold the exported file against.
python:
	$(call need,python3 -c 'import ensurepip',python3-venv)
	@[ -x target/python/bin/python ] || python3 -m venv target/python
	@target/python/bin/python -c 'import onnxruntime, numpy' 2>/dev/null || target/python/bin/pip install -q onnxruntime numpy
