# Every target works on a fresh machine with Python 3.11 or newer: the virtual environment is made first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PROTOS = $(shell find protos/messplus -name '*.proto' | sort)
PROTOC = $(BIN)/uv run --quiet --no-project --python ../$(BIN)/python --with grpcio-tools==1.76.0 --with mypy-protobuf==3.7.0 --with 'setuptools<81'

.PHONY: demo up test lint type protos lock bench compose-e2e clean

demo: $(INSTALLED)  ## route 300 prompts over three real models and compare with every baseline
	$(BIN)/messplus demo $(ARGS)

up: $(INSTALLED)  ## run the whole system on this machine until Ctrl-C
	$(BIN)/messplus up $(ARGS)

test: $(INSTALLED) lint type  ## everything CI checks
	$(BIN)/pytest $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-cache
	cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf format --exit-code --diff

type: $(INSTALLED)
	$(BIN)/mypy

protos: $(INSTALLED)  ## regenerate protos/gen
	cd protos && rm -rf gen/messplus && ../$(PROTOC) python -m grpc_tools.protoc -I. --python_out=gen --mypy_out=quiet:gen --grpc_python_out=gen --mypy_grpc_out=quiet:gen $(PROTOS:protos/%=%)

lock: $(INSTALLED)  ## pin every dependency with its hashes, those of each image too
	sh deploy/lock.sh $(BIN)/uv

bench: $(INSTALLED)  ## measure what docs/benchmarks.md states
	$(BIN)/python -m bench.run $(ARGS)

compose-e2e: $(INSTALLED)  ## run docker-compose.yml for real (needs a container daemon), kill parts of it, check what is left
	$(BIN)/python -m tests.compose.e2e

$(INSTALLED): pyproject.toml requirements.lock
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh deploy/install.sh

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
