# Everything from a fresh clone: Python 3.11 or newer and pip are all that is needed.
#
#   make demo    three districts exchange data on this machine
#   make test    the tests, on SQLite and PostgreSQL
#   make check   what lands must pass: style, types, imports, migrations, documentation
#   make bench   figures, side by side with a limit and a peer

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin/

.PHONY: demo test check bench bench-quick lock clean

demo: $(VENV)/ready
	$(RUN)taipu demo

# A file at a time to as many processes as there are cores, four at most: many tests start gateways of their own.
test: $(VENV)/ready
	$(RUN)pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: $(VENV)/ready
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports
	$(RUN)python -m gateway.migrations
	$(RUN)pytest tests/test_readme.py tests/test_suppliers.py

bench: $(VENV)/ready
	$(RUN)python -m bench

bench-quick: $(VENV)/ready
	$(RUN)python -m bench --quick

# Built again when the lock or the project's own description changes. What is installed is what the lock's hashes say.
$(VENV)/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(RUN)python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Resolve the dependencies anew. The lock names versions and hashes, and no place to get them from.
lock:
	$(PYTHON) -m venv .lock && .lock/bin/python -m pip install --quiet uv
	.lock/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --quiet --upgrade --output-file requirements.txt
	rm -rf .lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
