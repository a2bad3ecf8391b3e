PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run setup dev test lint format bench

run: setup  ## set up, then run everything
	@$(BIN)/python app.py

setup: $(VENV)/.installed  ## what the server needs

dev: $(VENV)/.installed-dev  ## and what its tests need

test: dev  ## the whole test suite
	@$(BIN)/python -m pytest

lint: dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: dev  ## the side-by-side benchmarks
	@$(BIN)/python -m bench

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "需要 Python 3.11 或更新版本，当前为 " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	@echo 正在安装依赖……
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
