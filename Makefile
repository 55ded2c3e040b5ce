# The commands of CONTRIBUTING.md. They run in .venv, which `setup` builds from requirements.lock
# and rebuilds when that file changes.

HOST ?= 127.0.0.1
PORT ?= 8000
DATA ?= var
WORKERS ?= 1
ARGS ?=
UV ?= uv
# python3, or the system's own if python3 was compiled without optimizations, as pyenv does unless
# told otherwise: everything would take a quarter more CPU.
PYTHON ?= $(shell python3 -c '$(IS_SLOW)' 2>/dev/null && /usr/bin/python3 -c '$(CAN_INSTALL)' \
  2>/dev/null && echo /usr/bin/python3 || echo python3)
IS_SLOW := import sys, sysconfig; options = sysconfig.get_config_var("CONFIG_ARGS") or ""; \
  sys.exit(sys.base_prefix == "/usr" or "--enable-optimizations" in options)
IS_SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
CAN_INSTALL := import ensurepip, venv; $(IS_SUPPORTED)

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/requirements.lock
COMPILED := .pytest_cache/compiled
# Browser tests run unless ARGS names other tests.
OTHER_TESTS := $(filter-out tests/ tests/browser%,$(filter tests/%,$(ARGS)))
BROWSER_TESTS := $(findstring tests/browser,$(ARGS))
BROWSER := $(if $(OTHER_TESTS),$(if $(BROWSER_TESTS),browser),browser)

# Python keeps its compiled code, even where the environment says otherwise: the tests start hundreds
# of processes, and pytest compiles its plugins and the tests with their assertions.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup run test check lint format describe crowd bench load chaos lock browser curl pgbouncer promtool clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(INSTALLED)  ## .venv with everything in requirements.lock

$(INSTALLED): requirements.lock
	@$(PYTHON) -c '$(IS_SUPPORTED)' || { \
	  echo "This needs Python 3.11 to 3.14; $(PYTHON) is $$($(PYTHON) --version 2>&1 || echo missing)."; \
	  echo "Name another one: make PYTHON=python3.12 setup"; exit 1; }
	@test -e $(PY) -o '$(origin PYTHON) $(PYTHON)' != 'file /usr/bin/python3' || \
	  echo "Using $(PYTHON): python3 was compiled without optimizations."
	@$(PY) -m pip --version >/dev/null 2>&1 || \
	  $(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 && $(PY) -m pip --version >/dev/null 2>&1 || { \
	  echo "$(PYTHON) cannot create a venv (Debian and Ubuntu: apt install python3-venv)."; \
	  exit 1; }
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
	  -r requirements.lock
	@cp requirements.lock $@

run: setup  ## everything on this machine: make run PORT=8001 DATA=dir WORKERS=2 ARGS=--no-demo
	@exec $(PY) -m app up --host '$(HOST)' --port '$(PORT)' --data '$(DATA)' \
	  --workers '$(WORKERS)' $(ARGS)

test: $(BROWSER) curl pgbouncer promtool  ## the static checks, then every test: make test ARGS=tests/bookings
	@$(MAKE) --no-print-directory -j 2 lint $(if $(ARGS),,$(COMPILED))
	$(PY) -m pytest -n 6 --dist loadfile --no-loadscope-reorder --reruns 1 --rerun-show-tracebacks -rR $(ARGS)

# pytest compiles its assertions into the tests, and Jinja the templates. All workers would do so at
# the same time, and mypy leaves a core idle.
$(COMPILED): $(INSTALLED) $(shell find tests app/templates -name '*.py' -o -name '*.html')
	@$(PY) -m pytest --collect-only -q >/dev/null && $(PY) -c 'import tests.preloaded' \
	  && mkdir -p $(@D) && touch $@ || true

lint: setup  ## ruff, mypy --strict, import-linter
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: setup  ## format the code with ruff, and fix what it can
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

describe: setup  ## write the files for client developers in docs/api
	$(PY) -m app describe

crowd: setup  ## 20 students book on the running product, and are removed afterwards
	$(PY) -m loadtests crowd --url 'http://127.0.0.1:$(PORT)' --data '$(DATA)' $(ARGS)

bench: setup  ## measurements, each with a floor from the same run
	$(PY) -m loadtests.bench $(ARGS)

load: setup  ## a short crowd of each kind against a separate product, and its verdict
	$(PY) -m loadtests all --up $(ARGS)

chaos: setup  ## a crowd books during faults: make chaos ARGS="--minutes 5 --seed 7"
	$(PY) -m loadtests chaos $(ARGS)

browser: setup
	@VENV=$(VENV) tests/browser/install

# $(call install,CHECK,PACKAGE,SUBJECT,CONSEQUENCE) installs PACKAGE unless CHECK succeeds, as root
# on Debian and Ubuntu.
define install
	@$(1) || { \
	  if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
	    echo "The tests of $(3) need $(2): installing it."; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	      apt-get install -y -qq --no-install-recommends $(2) >/dev/null; \
	  else false; fi; } || echo "$(2) is missing, so the tests of $(3) $(4)."
endef

curl:
	$(call install,command -v curl >/dev/null,curl,the docs,will fail: install it)

pgbouncer:
	$(call install,test -n "$$PGBOUNCER" || command -v pgbouncer >/dev/null \
	  || test -x /usr/sbin/pgbouncer,pgbouncer,pooling,are skipped)

promtool:  # in Debian's package prometheus
	$(call install,command -v promtool >/dev/null,prometheus,alerts,are skipped)

COMPILE := pip compile pyproject.toml --generate-hashes --no-emit-index-url --no-annotate \
  --no-header --universal --python-version 3.11 --quiet
lock:  ## write both lock files from pyproject.toml (needs uv)
	$(UV) $(COMPILE) --group dev -o requirements.lock
	$(UV) $(COMPILE) --constraints requirements.lock -o requirements-production.lock

clean:  ## delete .venv and the caches; keep the data in var
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
