# Everything a person types here. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SAM := .venv-sam/.installed
MINISTACK := .venv-ministack/.installed
REPORT ?=
PYTHON_OF_RUNTIME ?=
export SAM_CLI_TELEMETRY := 0
export AWS_EC2_METADATA_DISABLED := true

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-docker check lint types templates bench chaos lock clean sam build invoke sam-validate ministack deploy-local

help: ## List what can be typed
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(STAMP) ## Make .venv with everything, from the lock file

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "esteira needs Python 3.11 or newer; $(PYTHON) is older. Next: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@git --version >/dev/null || { echo "esteira needs git. Next: install it with your system's package manager"; exit 1; }
	@echo "Setting up $(VENV) (once; a minute or two)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.txt 2>$(VENV)/uv.log || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(STAMP) ## Push four versions of the model, see them go live or be refused, go back  [REPORT=FILE]
	@$(BIN)/python -m console.local.demo $(if $(REPORT),--report $(REPORT))

test: $(STAMP) ## Run the tests, but for those on a Docker engine
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not docker"
	@cd model_service && $(CURDIR)/$(BIN)/python -m pytest -q

test-docker: $(STAMP) ## Run the tests on a Docker engine, with nginx and docker-registry; minutes, as they build images
	@$(BIN)/python -m pytest -m docker tests/docker tests/sam

check: $(STAMP) lint types templates test ## The whole gate

lint: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@git ls-files '*.sh' .ci/run | xargs $(BIN)/shellcheck

types: $(STAMP)
	@$(BIN)/mypy
	@cd model_service && $(CURDIR)/$(BIN)/mypy --config-file ../pyproject.toml serving training train.py gate.py

templates: $(STAMP)
	@$(BIN)/cfn-lint template.yaml service.yaml

sam: $(SAM) ## Install the SAM CLI and Lambda's runtime client beside, in .venv-sam

$(SAM): $(STAMP)
	@$(BIN)/python -m venv .venv-sam
	@.venv-sam/bin/pip install --quiet --disable-pip-version-check 'aws-sam-cli==1.170.0' 'awslambdaric==4.2.2' 'uv>=0.5'
	@touch $@

build: $(STAMP) $(SAM) ## Build what is deployed to AWS  [ARCH=x86_64] [PYTHON_OF_RUNTIME=PATH]
	@$(BIN)/python -m console.local.release $(if $(ARCH),--architecture $(ARCH)) $(if $(PYTHON_OF_RUNTIME),--python $(PYTHON_OF_RUNTIME))

invoke: $(STAMP) $(SAM) ## An event to its function in its container, against the running local stack  EVENT=FILE
	@$(BIN)/python -m console.local.invoke $(EVENT)

sam-validate: $(SAM) ## Let the SAM CLI judge the templates too
	@AWS_DEFAULT_REGION=us-east-1 .venv-sam/bin/sam validate --lint --template template.yaml
	@AWS_DEFAULT_REGION=us-east-1 .venv-sam/bin/sam validate --lint --template service.yaml

ministack: $(MINISTACK) ## Install a second emulator of AWS beside, in .venv-ministack  [PYTHON_OF_RUNTIME=PATH]

# It runs functions with its own Python: the runtime's, where this machine has one that starts.
$(MINISTACK): $(STAMP)
	@for python in $(PYTHON_OF_RUNTIME) python3.13 $(BIN)/python; do $$python -c pass 2>/dev/null && break; done; \
	  $(BIN)/uv venv --quiet --clear --python $$(command -v $$python) .venv-ministack
	@$(BIN)/uv pip install --quiet --python .venv-ministack/bin/python 'ministack==1.5.33' 'aws-sam-translator==1.115.0'
	@touch $@

deploy-local: $(STAMP) $(SAM) $(MINISTACK) ## Deploy to an emulator on this machine: create, look, work, update, delete
	@$(BIN)/python -m console.local.deploy

chaos: $(STAMP) ## 300 releases on a lossy, doubling, crashing, throttling AWS
	@$(BIN)/esteira local chaos --releases 300 --lose 0.25 --duplicate 0.25 --shuffle --crash 0.1 --throttle 0.1 --seed 1 --report chaos.json

bench: $(STAMP) ## Measure what the README says, into bench/results.json
	@$(BIN)/python -m bench

lock: $(STAMP) ## Lock the dependencies anew: requirements.txt (all), functions/requirements.txt (what ships)
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --all-extras pyproject.toml --output-file requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --output-file functions/requirements.txt

clean: ## Remove what make made, but not .esteira/
	rm -rf $(VENV) .venv-sam .venv-ministack .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis report.json chaos.json screenshots
