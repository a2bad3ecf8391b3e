PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNNER := tests/miniprogram
NPM := $(shell command -v npm 2>/dev/null)

.PHONY: run setup dev test test-databases test-postgresql test-mysql lint format bench preview packages

run: setup preview  ## set up, then run everything
	@$(BIN)/python app.py

setup: $(VENV)/.installed  ## what the server needs

dev: $(VENV)/.installed-dev  ## and what its tests need

# File after file, in the order of their names: neighbours share a browser and servers, which the workers of a folder
# start once. The longest folders come first, so that all workers end together.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: dev packages  ## the whole test suite
	@$(PYTEST)

test-databases: test-postgresql test-mysql  ## what uses a server's database, on PostgreSQL and on MySQL or MariaDB

test-postgresql test-mysql: test-%: dev
	@TEST_DATABASE=$* $(PYTEST)

lint: dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
ifdef NPM
lint: lint-miniprogram
endif

format: dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: dev  ## the side-by-side benchmarks
	@$(BIN)/python -m bench

# The mini-program as a web page, and its checks; only where npm is there.
ifdef NPM
packages: $(RUNNER)/node_modules/.installed
preview: build/preview/index.html

# Without it everything else still runs.
build/preview/index.html: $(shell find miniprogram $(RUNNER)/runner -type f) $(RUNNER)/node_modules/.installed
	@echo 正在构建小程序预览……
	@npm run --silent --prefix $(RUNNER) build || echo 小程序预览没有构建成功，其余功能不受影响。

$(RUNNER)/node_modules/.installed: $(RUNNER)/package-lock.json
	@npm ci --silent --no-audit --no-fund --prefix $(RUNNER) && touch $@ || \
		echo 安装小程序预览的依赖没有成功，其余功能不受影响。

.PHONY: lint-miniprogram
lint-miniprogram: $(RUNNER)/node_modules/.installed
	@npm run --silent --prefix $(RUNNER) lint
else
packages:
	@echo 没有安装 npm，跳过小程序的测试。
preview:
	@echo 没有安装 npm，跳过小程序预览。
endif

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "需要 Python 3.11 或更新版本，当前为 " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	@echo 正在安装依赖（第一次要几分钟）……
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
