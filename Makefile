# What CONTRIBUTING.md describes. Everything runs in .venv, which is made from requirements.lock and made again when that changes.

HOST ?= 127.0.0.1
PORT ?= 8000
DATA ?= var
WORKERS ?= 1
ARGS ?=
PYTHON ?= python3
UV ?= uv

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/requirements.lock

.DEFAULT_GOAL := help
.PHONY: help setup run test check lint format bench load chaos lock browser pgbouncer clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(INSTALLED)  ## .venv with everything in requirements.lock

$(INSTALLED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "This needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1 || echo missing)."; \
	  echo "Name another: make PYTHON=python3.12 setup"; exit 1; }
	@test -x $(PY) && $(PY) -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || { \
	  echo "Python's venv is missing (on Debian and Ubuntu: apt install python3-venv)."; exit 1; }
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@cp requirements.lock $@

run: setup  ## everything on this machine: make run PORT=8001 DATA=elsewhere WORKERS=2 ARGS=--no-demo
	@exec $(PY) -m app up --host $(HOST) --port $(PORT) --data $(DATA) --workers $(WORKERS) $(ARGS)

test: lint browser pgbouncer  ## the static checks, then every test: make test ARGS=tests/bookings
	$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

lint: setup  ## ruff, mypy --strict, import-linter
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: setup  ## lets ruff put the code into shape
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: setup  ## each number beside a floor measured in the same run
	$(PY) -m loadtests.bench $(ARGS)

load: setup  ## a short crowd of each kind against a product of its own, and the verdict
	$(PY) -m loadtests all --up $(ARGS)

chaos: setup  ## a crowd books while everything breaks, and the verdict: make chaos ARGS="--minutes 5 --seed 7"
	$(PY) -m loadtests chaos $(ARGS)

# A Chromium for the browser tests: the one named by CHROMIUM or installed, else the distribution's when we are root, else Playwright's.
PLAYWRIGHTS = $${PLAYWRIGHT_BROWSERS_PATH:-$$HOME/.cache/ms-playwright}
FOUND = test -n "$$CHROMIUM" || command -v chromium >/dev/null || command -v google-chrome >/dev/null
browser: setup
	@$(FOUND) || ls -d $(PLAYWRIGHTS)/chromium-* >/dev/null 2>&1 || { \
	  echo "The browser tests need a Chromium: installing one."; \
	  if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  fi; \
	  $(FOUND) || $(VENV)/bin/playwright install chromium; }

# A PgBouncer for its tests, which are skipped where there is none: the one named by PGBOUNCER or installed, else the distribution's
# when we are root.
pgbouncer:
	@test -n "$$PGBOUNCER" || command -v pgbouncer >/dev/null || test -x /usr/sbin/pgbouncer || { \
	  if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
	    echo "The tests of pooling need PgBouncer: installing it."; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pgbouncer >/dev/null; \
	  fi; } || echo "PgBouncer could not be installed, so its tests are skipped."

COMPILE := pip compile pyproject.toml --generate-hashes --no-emit-index-url --no-annotate \
  --no-header --universal --python-version 3.11 --quiet
lock:  ## both lock files from pyproject.toml (needs uv): everything, and what production needs
	$(UV) $(COMPILE) --group dev -o requirements.lock
	$(UV) $(COMPILE) --constraints requirements.lock -o requirements-production.lock

clean:  ## what can be made again; the data in var stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
