# heliograph's targets; `make` alone lists them. Everything a target needs is installed first, once (docs/install.md).
# Settings: PYTHON (3.11 or newer), DEMO_ARGS, PYTEST_ARGS, BENCH_ARGS; for example: make test PYTEST_ARGS='-k watcher -x'

.DEFAULT_GOAL := help
VENV := .venv/bin
PREPARE = @python=$$(PYTHON='$(PYTHON)' tools/find-python) && "$$python" tools/prepare.py
DEMO_ARGS =
PYTEST_ARGS =
BENCH_ARGS =

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## Train, evaluate and analyse two small language models from one command (5 minutes)
	$(VENV)/heliograph demo $(DEMO_ARGS)

.PHONY: test
test: setup-test ## Run all tests, real Slurm, R and a browser included
	$(VENV)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

.PHONY: lint
lint: setup-test ## Check style, types and the layers of the architecture
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/mypy --strict tools
	$(VENV)/mypy --strict -p benchmarks.watcher
	$(VENV)/lint-imports --no-logo --no-cache

.PHONY: bench-watcher
bench-watcher: setup-test ## Measure the watcher: latency, idle cost, a pass, a burst (BENCH_ARGS=--quick: minutes)
	$(VENV)/python -m benchmarks.watcher $(BENCH_ARGS)

.PHONY: check
check: lint test ## Do both, as before every commit

.PHONY: format
format: setup-test ## Put all Python files into the house style
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

.PHONY: setup
setup: ## Install what the demo needs: system packages, .venv, Python packages
	$(PREPARE) demo

.PHONY: setup-test
setup-test: ## Install what the tests need besides: Slurm, a browser, sshd
	$(PREPARE) test
