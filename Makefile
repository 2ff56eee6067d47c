# Needs Python 3.11 or newer, make and a package index. Changes nothing outside this directory but the cache of uv.

PYTHON ?= python3
UV := $(or $(shell command -v uv),.tools/bin/uv)
INSTALLED := .venv/.installed
BENCH := .venv-bench/.installed
LOCK := $(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate \
	--custom-compile-command "make lock"

# The extras that the image of deploy/docker has: all that are small and ask for nothing else of the system.
IMAGE := uvloop web push webhook sms sentry

export UV_PYTHON_DOWNLOADS := never
# Where the machine has a list of the authorities that it trusts, a company's own may be among them.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),)
export UV_SYSTEM_CERTS := true
endif

# The programs of an environment hold its place: those of a tree that was moved or copied would run the other tree.
ifeq ($(shell cat $(INSTALLED) 2>/dev/null),$(CURDIR))
VENV := $(UV) venv --quiet --allow-existing .venv
else
VENV := $(UV) venv --quiet --clear .venv
.PHONY: $(INSTALLED)
endif
# What is measured is measured by the system's own Python, where there is one: it was compiled by a profile of its use. One
# that was not (pyenv's, without --enable-optimizations) takes a third more CPU.
BENCH_PYTHON := $(lastword $(sort $(wildcard /usr/bin/python3.1[1-9])))
BENCH_VENV := $(UV) venv --quiet $(if $(BENCH_PYTHON),--python $(BENCH_PYTHON)) .venv-bench
ifeq ($(shell cat $(BENCH) 2>/dev/null),$(CURDIR))
BENCH_VENV += --allow-existing
else
BENCH_VENV += --clear
.PHONY: $(BENCH)
endif

.PHONY: help demo example test chaos bench docs docs-links reference lint format lock clean
.DEFAULT_GOAL := help

help: ## Show this
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed 's/:.*## /: /' | while IFS=: read -r name what; \
	do printf 'make %-11s%s\n' "$$name" "$$what"; done

demo: $(INSTALLED) ## See it work; ARGS="--signups 500 --keep" for more or less of it
	@.venv/bin/outbox demo $(ARGS)

test: $(INSTALLED) ## Run every test, on a PostgreSQL of its own or that of OUTBOX_TEST_DATABASE_URL; ARGS="-k name"
	@.venv/bin/pytest -n auto --dist worksteal $(ARGS)

example: $(INSTALLED) ## Run an application that enqueues: NAME=fastapi, flask, django, psycopg, node or trigger
	@.venv/bin/python examples/run.py $(NAME) $(ARGS)

bench: $(BENCH) ## Measure outbox beside its rivals (an hour); ARGS="--systems outbox,pgqueuer --measures drain --rounds 1"
	@.venv-bench/bin/python -m benchmarks $(ARGS)

chaos: $(BENCH) ## Kill, freeze and cut things for three hours, and see that nothing is lost; ARGS="--only 1,5 --seed 7"
	@.venv-bench/bin/python -m tests.chaos $(ARGS)

docs: $(INSTALLED) ## Make the site of the documentation, and say where it is
	@.venv/bin/sphinx-build --quiet --fail-on-warning --keep-going $(ARGS) docs site
	@echo "file://$(CURDIR)/site/index.html"

docs-links: $(INSTALLED) ## Ask the network whether the documentation's links to other places lead somewhere
	@.venv/bin/sphinx-build --quiet --builder linkcheck docs site/links

reference: $(INSTALLED) ## Write what is committed and made from the code: the page of the catalog, the pictures
	@.venv/bin/python -m docsite

lint: $(INSTALLED) ## Check rules, format and types
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy

format: $(INSTALLED) ## Format, and mend what can be mended
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

lock: $(UV) ## Compile requirements/*.txt with the newest versions
	$(LOCK) --all-extras --group dev --output-file requirements/dev.txt pyproject.toml
	$(LOCK) --all-extras --group bench --output-file requirements/bench.txt pyproject.toml
	$(LOCK) --group bootstrap --output-file requirements/uv.txt
	$(LOCK) --group build --output-file requirements/build.txt
	$(LOCK) $(IMAGE:%=--extra %) --output-file requirements/image.txt pyproject.toml

clean: ## Remove the environments and the tools
	rm -rf .venv .venv-bench .tools site

$(INSTALLED): requirements/dev.txt pyproject.toml | $(UV)
	@echo "Installing into .venv"
	@$(VENV)
	@$(UV) pip sync --quiet --python .venv --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	@printf '%s' '$(CURDIR)' > $@

$(BENCH): requirements/bench.txt pyproject.toml | $(UV)
	@echo "Installing into .venv-bench"
	@$(BENCH_VENV)
	@$(UV) pip sync --quiet --python .venv-bench --require-hashes requirements/bench.txt
	@$(UV) pip install --quiet --python .venv-bench --no-deps --no-build-isolation --editable .
	@printf '%s' '$(CURDIR)' > $@

# By the Python's own pip where it has one, else by the pip of an environment: each may be missing by itself.
.tools/bin/uv: requirements/uv.txt
	@echo "Installing uv into .tools"
	@rm -rf .tools
	@install="-m pip install --quiet --disable-pip-version-check --require-hashes --target .tools -r $<"; \
	if $(PYTHON) -m pip --version >/dev/null 2>&1; then $(PYTHON) $$install; \
	elif $(PYTHON) -m venv .tools/pip >/dev/null 2>&1; then .tools/pip/bin/python $$install; \
	else echo "$(PYTHON) has neither pip nor venv: install one (Debian: python3-venv), or uv, then make again" >&2; exit 1; fi
	@touch $@
