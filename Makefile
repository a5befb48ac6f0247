# make demo | speed | reproduce | test | docs | gpu-check | kill-check | setup | lint | format | clean
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo speed reproduce test docs gpu-check kill-check lint format clean

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/python run.py experiment=demo
	@echo "Open this page in a browser. It shows every image with its restoration and its anomaly map."
	@echo "For your own pictures, fit a generator to clean ones; then restore others and map their defects:"
	@echo "  . $(BIN)/activate"
	@echo "  rgi experiment=folder_pretrain generator=appearance dataset.train=photos/clean generator.path=mine.safetensors"
	@echo "  rgi task=predict input=photos/test generator.path=mine.safetensors"

speed: setup
	$(BIN)/python experiments/speed/speed.py $(SPEED_ARGS)

reproduce: setup
	$(BIN)/python experiments/reproduction/reproduce.py $(REPRODUCE_ARGS)

test: setup
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

gpu-check: setup
	$(BIN)/python tests/gpu_check.py $(GPU_ARGS)

kill-check: setup
	$(BIN)/python tests/kill_check.py $(KILL_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build site .pytest_cache .ruff_cache src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
