# Short names for what `dev` does; it says more with `python3 dev --help`.
PYTHON ?= python3

.PHONY: setup check test full format lock bench demo clean

setup check test format lock bench demo:
	$(PYTHON) dev $@

full:
	$(PYTHON) dev test --full

clean:
	rm -rf .venv .venv-* .venv*.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	    .import_linter_cache dist build
