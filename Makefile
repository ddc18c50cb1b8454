# Everything a person types here. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SAM := .venv-sam/.installed
EMULATOR := .emulator/.installed
LINUX := $(filter Linux,$(shell uname -s))
CHECKOV := .venv-checkov/.installed
MINISTACK := .venv-ministack/.installed
REPORT ?=
PYTHON_OF_RUNTIME ?=
# Files are taken in turns, the longest first, or one would be left over when all others are done.
LONG := $(addprefix tests/,sam/test_deploy_local.py integration/test_races.py e2e/test_ui_browser.py sam/test_emulator.py integration/test_chaos.py \
  sam/test_doctor_stack.py e2e/test_laptop.py integration/test_record.py integration/test_flat_cost.py integration/test_ui.py sam/test_release.py e2e/test_gate.py)
TESTS := $(LONG) $(filter-out $(LONG),$(wildcard tests/*/test_*.py))
# Three take them, mostly waiting: each host in them has ports, a lock and an nginx of its own.
LONG_ON_DOCKER := $(addprefix tests/,docker/test_heart_r.py docker/test_docker_engine.py docker/test_model_image.py docker/test_host_crash_points.py sam/test_containers.py)
DOCKER_TESTS := $(LONG_ON_DOCKER) $(filter-out $(LONG_ON_DOCKER),$(wildcard tests/docker/test_*.py tests/sam/test_*.py))
export SAM_CLI_TELEMETRY := 0
# Every process of ours would compile what it imports anew.
unexport PYTHONDONTWRITEBYTECODE
export AWS_EC2_METADATA_DISABLED := true

.DEFAULT_GOAL := help
.PHONY: help setup demo first-ten-minutes test test-slow test-docker check lint types templates policies bench chaos lock schema clean sam build invoke start-lambda emulator sam-validate ministack deploy-local prove-aws prove-local

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
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.txt 2>$(VENV)/uv.log || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(STAMP) ## Push four versions of the model, see them go live or be refused, go back  [REPORT=FILE]
	@$(BIN)/python -m console.local.up.demo $(if $(REPORT),--report $(REPORT))

first-ten-minutes: $(STAMP) ## Run what docs/first-ten-minutes.md tells, and write it anew, in Portuguese too
	@$(BIN)/python examples/first_ten_minutes.py

test: $(STAMP) $(if $(LINUX),$(EMULATOR)) ## Run the tests that take no engine and no minutes
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not docker and not slow" $(TESTS)
	@cd model_service && $(CURDIR)/$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

test-slow: $(STAMP) ## Run the tests that take minutes: every crash point, chaos, the stories on moto, real processes
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "slow and not docker" $(TESTS)
	@cd model_service && $(CURDIR)/$(BIN)/python -m pytest -q -n 2 --dist loadfile -m slow

test-docker: $(STAMP) ## Run the tests on a Docker engine, with nginx and docker-registry; minutes, as they build images
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m docker $(DOCKER_TESTS)

check: $(STAMP) lint types templates policies test ## The whole gate

lint: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@git ls-files '*.sh' .ci/run | xargs $(BIN)/shellcheck

types: $(STAMP)
	@$(BIN)/mypy
	@cd model_service && $(CURDIR)/$(BIN)/mypy --config-file ../pyproject.toml serving training train.py gate.py wording.py new.py drafting.py

templates: $(STAMP)
	@$(BIN)/cfn-lint template.yaml service.yaml

emulator: $(EMULATOR) ## Install Lambda's emulator and runtime client alone, in .emulator (Linux)

# Where they cannot be had, their tests are skipped and say so.
$(EMULATOR): $(STAMP) console/local/sam/emulator.txt
	@rm -rf $(@D)
	@{ $(BIN)/uv pip install --quiet --no-deps --require-hashes --python $(BIN)/python --target $(@D) -r console/local/sam/emulator.txt 2>$(VENV)/uv.log || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $(@D) -r console/local/sam/emulator.txt; } && touch $@ || \
	  echo "Lambda's emulator cannot be installed: the tests that play events/ through it are skipped"

# Offline: it judges by what is installed and asks nobody. An exception stands in the resource's Metadata, with its reason.
# What it cannot read it passes over with status 0.
policies: $(CHECKOV) ## Let checkov judge the templates
	@said=$$(.venv-checkov/bin/checkov --quiet --compact --skip-download --framework cloudformation \
	  --file template.yaml service.yaml 2>&1); status=$$?; printf '%s\n' "$$said"; \
	  case "$$said" in *"Passed checks"*"Parsing errors"*) exit 1 ;; *"Passed checks"*) exit $$status ;; *) exit 1 ;; esac

$(CHECKOV): $(STAMP)
	@$(BIN)/python -m venv .venv-checkov
	@$(BIN)/uv pip install --quiet --python .venv-checkov/bin/python 'checkov==3.3.30' 2>.venv-checkov/uv.log || \
	  .venv-checkov/bin/pip install --quiet --disable-pip-version-check 'checkov==3.3.30'
	@touch $@

sam: $(SAM) ## Install the SAM CLI beside, in .venv-sam

$(SAM): $(STAMP)
	@$(BIN)/python -m venv .venv-sam
	@$(BIN)/uv pip install --quiet --python .venv-sam/bin/python 'aws-sam-cli==1.170.0' 'uv>=0.5' 2>$(VENV)/uv.log || \
	  .venv-sam/bin/pip install --quiet --disable-pip-version-check 'aws-sam-cli==1.170.0' 'uv>=0.5'
	@touch $@

build: $(STAMP) $(SAM) ## Build what is deployed to AWS  [ARCH=x86_64] [PYTHON_OF_RUNTIME=PATH]
	@$(BIN)/python -m console.local.sam.artifact $(if $(ARCH),--architecture $(ARCH)) $(if $(PYTHON_OF_RUNTIME),--python $(PYTHON_OF_RUNTIME))

invoke: $(STAMP) $(SAM) ## An event to its function in its container, against the running local stack  EVENT=FILE
	@$(BIN)/python -m console.local.sam.invoke $(EVENT)

start-lambda: $(STAMP) $(SAM) ## The functions in their containers, warm, for esteira --endpoint lambda=URL  [PORT=3001]
	@$(BIN)/python -m console.local.sam.start_lambda $(if $(PORT),--port $(PORT))

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
	@$(BIN)/python -m console.local.sam.deploy

# It costs money until it has removed what it made, so the account and the Region are named.
prove-aws: $(STAMP) $(SAM) ## Prove in a real account what only one can tell, and clean up  ACCOUNT=ID REGION=NAME YES=--yes-i-pay
	@$(BIN)/esteira prove --account "$(ACCOUNT)" --region "$(REGION)" $(YES)

prove-local: $(STAMP) ## Walk the same on the local AWS, which proves nothing and costs nothing
	@$(BIN)/esteira prove --rehearse

chaos: $(STAMP) ## 300 releases over two stages on a lossy, doubling, crashing, throttling AWS
	@$(BIN)/esteira local chaos --releases 300 --stages 2 --lose 0.25 --duplicate 0.25 --shuffle --crash 0.1 --throttle 0.1 --seed 1 --report chaos.json

bench: $(STAMP) ## Measure what the README says, into bench/results.json
	@$(BIN)/python -m bench

lock: $(STAMP) ## Lock the dependencies anew: requirements.txt (all), functions/requirements.txt (what ships), the emulator
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --all-extras pyproject.toml --output-file requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url --no-annotate --no-header --group functions --output-file functions/requirements.txt
	@cd model_service && for name in requirements requirements-build; do $(CURDIR)/$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header $$name.txt --output-file $$name.lock || exit 1; done
	@printf '%s\n' aws-sam-cli==1.170.0 awslambdaric simplejson snapshot-restore-py | $(BIN)/uv pip compile --quiet --no-deps --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header - --output-file console/local/sam/emulator.txt

schema: $(STAMP) ## Make docs/esteira.schema.json, the schema of esteira.yaml for editors, from its model
	@$(BIN)/python -m console.init.schema > docs/esteira.schema.json

clean: ## Remove what make made, but not .esteira/
	rm -rf $(VENV) .venv-sam .venv-checkov .venv-ministack .emulator .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis report.json chaos.json screenshots
