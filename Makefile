# Each target sets up what it needs (see tools/setup.sh), so `make demo` works in a fresh clone.

PY := .venv/bin/python
STAMP := .venv/up-to-date

.PHONY: help demo test pytest lint bench evidence relion clean

help:
	@echo 'make demo      refine a small simulated data set with RELION and this plugin'
	@echo 'make test      lint and all tests, those that drive RELION included where it is installed'
	@echo 'make lint      ruff and mypy'
	@echo 'make bench     speed beside RELION (minutes)'
	@echo 'make evidence  pose accuracy against the truth (hours)'
	@echo 'make clean     remove what make has made, results of the benchmark excepted'

demo: relion $(STAMP)
	.venv/bin/relion-external demo

test: lint pytest

pytest: relion $(STAMP)
	$(PY) -m pytest

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: relion $(STAMP)
	$(PY) benchmarks/speed.py --out relion-external-bench/speed

evidence: relion $(STAMP)
	$(PY) benchmarks/refine.py bcsab --size large --repeats 2 --out relion-external-bench

relion:
	@tools/setup.sh relion

$(STAMP): setup.cfg pyproject.toml tools/setup.sh
	@tools/setup.sh venv
	@touch $@

clean:
	rm -rf .venv relion-external-demo .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
