# What one does in this house. Everything happens in .venv/, made on first use; the network is asked only by pip.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help test check format coverage bench demo docs screens torture wheel clean FORCE

PYTHON =#           a Python 3.11 to 3.13 to make .venv with; else the newest on PATH
ARGS =#             handed on: make test ARGS="-k claim -x"

help: ## these lines
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo '  ARGS="…" is handed on, e.g. make test ARGS="-k claim -x"; PYTHON=… chooses the interpreter of .venv'

test: .venv/test.stamp ## the tests (minutes)
	.venv/bin/python -m pytest -q $(ARGS)

check: .venv/dev.stamp ## format, lint, types, who imports whom (seconds)
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m ruff check .
	.venv/bin/python -m mypy
	.venv/bin/lint-imports

format: .venv/dev.stamp ## put the code into its form, and mend what ruff can
	.venv/bin/python -m ruff format .
	.venv/bin/python -m ruff check --fix .

coverage: .venv/dev.stamp ## the tests, and which lines of production/ they never reach
	.venv/bin/python -m coverage erase
	.venv/bin/python -m coverage run -m pytest -q $(ARGS)
	.venv/bin/python -m coverage combine -q
	.venv/bin/python -m coverage report

bench: .venv/test.stamp ## what we claim about speed, measured here
	.venv/bin/python -m benchmarks $(ARGS)

demo: .venv/demo.stamp ## a real production on this machine
	.venv/bin/python -m demo $(ARGS)

docs: .venv/test.stamp ## docs/commands/ anew, from --help and from what the commands print
	.venv/bin/python -m docs.pages

screens: .venv/test.stamp ## docs/dashboard.md's screens and keys anew, from a demo in tmux (minutes)
	.venv/bin/python -m docs.screens

torture: .venv/test.stamp ## kill it wherever that could hurt (many minutes)
	.venv/bin/python -m pytest -q -m torture $(ARGS)

wheel: .venv/dev.stamp ## dist/: the wheel and the source archive
	.venv/bin/python -m build

clean: ## remove all that make made, .venv included
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -f .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A .venv knows the directory it was made in: one that was copied or moved is made anew.
.venv/place: FORCE
	@[ "$$(cat $@ 2>/dev/null)" = "$$(pwd -P)" ] || { rm -rf .venv && mkdir .venv && pwd -P >$@; }

.venv/python.stamp: .venv/place
	@for python in "$(PYTHON)" python3.13 python3.12 python3.11 python3; do \
	    "$$python" -c 'import ensurepip, sqlite3, sys, venv; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13) and sqlite3.sqlite_version_info >= (3, 34)))' >/dev/null 2>&1 || continue; \
	    echo "making .venv with $$("$$python" --version)"; \
	    "$$python" -m venv .venv && touch $@ && exit 0; \
	    exit 1; \
	done; \
	echo 'No Python 3.11 to 3.13 with venv and SQLite 3.34 on PATH; say make PYTHON=/where/it/is' >&2; exit 1

.venv/test.stamp: .venv/demo.stamp
	.venv/bin/python -m pip install -q --disable-pip-version-check -e '.[test,root,demo]'
	@touch $@

.venv/dev.stamp: .venv/test.stamp
	.venv/bin/python -m pip install -q --disable-pip-version-check -e '.[test,root,demo,dev]'
	@touch $@

.venv/demo.stamp: .venv/python.stamp setup.cfg pyproject.toml
	@echo 'installing what the demo needs into .venv (a few minutes, once)'
	.venv/bin/python -m pip install -q --disable-pip-version-check -e '.[root,demo]'
	@touch $@
