# Forecare. `make` or `make help` lists what can be made.
# Everything is called by relative paths and through the interpreter, so a path with spaces works.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN := .venv/bin/python -m
FORECARE := $(RUN) core.cli
UV := .venv/bin/uv --quiet
ARGS ?=
PACKAGES := core gateway ingest anomaly maintenance api firmware_sim bench

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test check fix browser bench fuzz lock clean

help: ## Show what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1mmake %-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  make demo ARGS="--once --json"   the demo without a person: run, count, stop'

setup: .venv/.ready ## Make the virtual environment and unpack the embedded servers
	@$(FORECARE) runtime install

setup-dev: .venv/.ready-dev

demo: .venv/.ready ## Run the whole line with a simulated fleet on http://127.0.0.1:8000
	@$(FORECARE) demo $(ARGS)

test: .venv/.ready-dev ## Run all tests, with a TimescaleDB and a Mosquitto of their own
	@$(FORECARE) runtime install
	@$(RUN) pytest $(if $(ARGS),$(ARGS),-n 2 --dist loadgroup)

check: .venv/.ready-dev ## Format, lint, types, import contracts, vendored assets, generated pages and catalogues
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy
	@.venv/bin/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	@.venv/bin/python tools/vendor_assets.py --check
	@.venv/bin/python tools/make_docs.py --check
	@.venv/bin/python tools/make_catalogues.py --check

fix: .venv/.ready-dev ## Format the code, mend what the linter can mend, write generated pages
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .
	@.venv/bin/python tools/make_docs.py
	@.venv/bin/python tools/make_catalogues.py

browser: .venv/.ready-dev ## Look at every page with a real browser (needs Debian's chromium)
	@$(RUN) pytest -m browser tests/browser $(ARGS)

lock: .venv/.ready-dev ## Pin the dependencies of pyproject.toml anew
	@$(UV) pip compile --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	@$(UV) pip compile --all-extras -c requirements.lock --generate-hashes --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements-dev.lock

bench: .venv/.ready ## Measure the way from publish to committed row (ARGS=--quick: in 90 seconds)
	@$(FORECARE) runtime install
	@$(FORECARE) bench ingest $(ARGS)

fuzz: .venv/.ready-dev ## Fuzz the codecs for a minute (ARGS="cbor -max_total_time=3600": one of any, json, cbor, sparkplug)
	@.venv/bin/python -m tests.fuzz.fuzz_codecs $(if $(ARGS),$(ARGS),any -max_total_time=60)

clean: ## Stop the embedded servers and remove everything that was made, data included
	@if [ -x .venv/bin/python ]; then $(FORECARE) runtime down; fi
	rm -rf .runtime .venv build *.egg-info

# The stamp is touched last, so a set-up that was killed half-way is done again.
.venv/.uv: requirements-uv.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv"; exit 1; }
	@echo "making the virtual environment …"
	@"$(PYTHON)" -m venv .venv || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	@$(RUN) pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@touch $@

.venv/.ready: .venv/.uv requirements.lock pyproject.toml
	@echo "installing $$(grep -c '^[a-z].*==' requirements.lock) packages …"
	@$(UV) pip install --python .venv/bin/python --require-hashes -r requirements.lock
	@$(UV) pip install --python .venv/bin/python --no-deps --no-build-isolation -e .
	@touch $@

.venv/.ready-dev: .venv/.ready requirements-dev.lock
	@echo "installing the tools of development …"
	@$(UV) pip install --python .venv/bin/python --require-hashes -r requirements-dev.lock
	@touch $@
