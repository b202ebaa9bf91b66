# Every target sets up what it needs. PYTHON picks the interpreter the environment is made with: make test PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 16

$(READY): pyproject.toml constraints.txt
	@echo "setting up $(VENV): Python from '$(PYTHON)', packages by pip; the first time takes minutes" && $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

setup: $(READY) ## the environment, in .venv

demo: $(READY) ## a healthy run, a buggy one, a reproduction: under two minutes
	$(BIN)/python examples/demo.py

test: $(READY) ## the fast tests
	$(BIN)/python -m pytest -m "not slow" -n 2

test-all: $(READY) ## all tests
	$(BIN)/python -m pytest -n 2

lint: $(READY) ## ruff: mistakes and layout
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(READY) ## ruff: put right what it can
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

types: $(READY) ## mypy, strict
	$(BIN)/mypy

check: lint types test ## what a change must pass

accuracy: $(READY) ## what the rules find and name, and false alarms, on the corpus: minutes
	$(BIN)/python -m tests.benchmarks.accuracy --seeds 2 --into rules/accuracy.json

bench: $(READY) ## what observing costs, beside wandb, TensorBoard and anomaly mode
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m tests.benchmarks.overhead

docs: $(READY) ## rewrite the catalogue of rules, rules/README.md
	$(BIN)/python -m tracker.rules.catalogue

clean: ## remove the environment, the demo's runs and caches
	rm -rf $(VENV) .demo build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

.PHONY: help setup demo test test-all lint format types check accuracy bench docs clean
