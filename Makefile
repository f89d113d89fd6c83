# Needs Python 3.11 or newer, make, curl and pip; `make` alone lists the targets.
#
# Each target that needs the virtual environment sets it up when it is missing or older than the lock.

VENV := .venv
BIN := $(VENV)/bin
SET_UP := $(VENV)/.set-up
SECURITY := $(VENV)/security
YEAR := build/year-2013

# The functions run on Python 3.13 in AWS; the lock serves 3.11 to 3.13. Names that are on the path but
# do not run, or cannot make virtual environments, are passed over.
SUITS := -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3; do \
	$$name $(SUITS) && echo $$name && break; done)

COMPILE := $(BIN)/uv pip compile --quiet --no-header --generate-hashes --universal \
	--python-version 3.11 --upgrade

CHECKOV := $(SECURITY)/bin/checkov --config-file .checkov.yaml

# Two workers, each with a laptop cloud of its own: the tests wait more than they compute.
PYTEST := PYTEST_DEBUG_TEMPROOT=build/tmp exec $(BIN)/python -m pytest \
	--numprocesses 2 --dist loadfile --no-loadscope-reorder

# Nothing but these targets talks to an AWS account: a region is all that the other tools want.
# The SAM CLI keeps its state in .venv instead of the home directory. The functions' own Makefiles,
# which `sam build` runs, are no business of this one's settings.
unexport MAKEFLAGS PYTHON
ifeq ($(filter preflight deploy changes execute smoke verify destroy,$(MAKECMDGOALS)),)
unexport AWS_PROFILE
export AWS_DEFAULT_REGION := us-east-1
export AWS_EC2_METADATA_DISABLED := true
endif
export SAM_CLI_TELEMETRY := 0
export __SAM_CLI_APP_DIR := $(abspath $(VENV)/sam-cli)

.DELETE_ON_ERROR:
.PHONY: help setup demo up redeploy dashboard test test-long test-docker faults security soak mutations bench-load \
	dataset datasets check check-datasets check-python check-types check-template check-sql check-security audit \
	build has-env preflight preflight-quick deploy changes execute smoke verify destroy cost year lock clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS="$$(printf '\t')" read -r name text; \
		do printf '%-16s%s\n' "$$name" "$$text"; done

setup: $(SET_UP) ## Install the pinned tools into .venv

demo: $(SET_UP) ## Deploy to a laptop cloud, load three datasets, show the results, take it down
	@exec $(BIN)/python -m local demo $(ARGS)

up: $(SET_UP) ## Deploy to a laptop cloud and keep it running until Ctrl-C
	@exec $(BIN)/python -m local up $(ARGS)

redeploy: $(SET_UP) ## Deploy what has changed to the laptop cloud that `make up` runs
	@exec $(BIN)/python -m local redeploy $(ARGS)

dashboard: $(SET_UP) ## Draw the dashboard after three busy minutes: docs/dashboard.svg
	@exec $(BIN)/python -m local dashboard docs/dashboard.svg

test: $(SET_UP) ## Run the tests; ARGS="-k words" picks some
	@mkdir -p build/tmp
	@$(PYTEST) -m 'not long and not docker and not queue' $(ARGS)

test-long: $(SET_UP) ## Run the tests that take minutes: faults, deploys, interrupts, hostile keys
	@mkdir -p build/tmp
	@$(PYTEST) -m long $(ARGS)

test-docker: $(SET_UP) ## Run each event through `sam local invoke`, in the runtime of Lambda; needs Docker
	@docker info >/dev/null || { echo 'make: test-docker needs Docker (the reason is above)' >&2; exit 1; }
	@mkdir -p build/tmp
	@PYTEST_DEBUG_TEMPROOT=build/tmp exec $(BIN)/python -m pytest -m docker tests/local/test_sam_local.py $(ARGS)

faults: $(SET_UP) ## Put every fault on every task, check the invariants, write build/faults.md
	@mkdir -p build/tmp
	@$(PYTEST) tests/faults/test_matrix.py $(ARGS)

security: $(SET_UP) ## See each permission used and each use permitted, write build/security.md
	@mkdir -p build/tmp
	@PYTEST_DEBUG_TEMPROOT=build/tmp exec $(BIN)/python -m pytest tests/security $(ARGS)

soak: $(SET_UP) ## Let random lives of a pipeline pass for ten minutes; ARGS="--minutes 60 --seed 7"
	@PYTHONPATH=functions exec $(BIN)/python -m tests.faults.soak $(ARGS)

mutations: $(SET_UP) ## Take each guard away in a copy, and see its test fail; ARGS=word picks some
	@exec $(BIN)/python -m tests.faults.mutations $(ARGS)

bench-load: $(SET_UP) ## Measure a load against a plain insert of its rows; ARGS="--files 30"
	@PYTHONPATH=functions exec $(BIN)/python -m tests.benchmarks.load_time $(ARGS)

check: check-datasets check-python check-types check-template check-sql check-security ## Check style, types, template, SQL, security, and that nothing written is stale

dataset: $(SET_UP) ## Make a dataset of a sample: NAME=orders SAMPLE=orders.csv [KEY=append]
	@test -n '$(NAME)' && test -n '$(SAMPLE)' || { \
		echo 'make: name both: make dataset NAME=orders SAMPLE=orders.csv' >&2; exit 1; }
	@exec $(BIN)/python -m tools.datasets.new '$(NAME)' '$(SAMPLE)' \
		$(if $(KEY),--key '$(KEY)') $(if $(DATES),--dates '$(DATES)') \
		$(if $(DECIMAL),--decimal '$(DECIMAL)') $(if $(HEADER),--header '$(HEADER)') \
		$(if $(DELIMITER),--delimiter '$(DELIMITER)')

datasets: $(SET_UP) ## Write what follows from sql/datasets/*/dataset.yaml: SQL and template.yaml
	@exec $(BIN)/python -m tools.datasets

check-datasets: $(SET_UP) ## Check that what follows from the datasets' specs is what they say
	@echo '== datasets: sql/datasets, template.yaml'
	@$(BIN)/python -m tools.datasets --check

check-python: $(SET_UP) ## Check the style of the Python code
	@echo '== ruff: rules'
	@$(BIN)/ruff check
	@echo '== ruff: format'
	@$(BIN)/ruff format --check

check-types: $(SET_UP) ## Check the types of the Python code
	@echo '== mypy: functions, local, examples, tools'
	@$(BIN)/mypy

check-template: $(SET_UP) ## Check the template and the state machine in it
	@echo '== cfn-lint: template.yaml, delivery/github.yaml'
	@$(BIN)/cfn-lint template.yaml delivery/github.yaml
	@echo '== sam validate --lint'
	@$(BIN)/sam validate --lint

check-sql: $(SET_UP) ## Check the style of the SQL, and that the laptop's Redshift takes it
	@echo '== sqlfluff: sql'
	@$(BIN)/sqlfluff lint --disable-progress-bar sql
	@echo '== statements and procedure bodies: sql'
	@PYTHONPATH=functions $(BIN)/python -m local.check_sql

check-security: $(SECURITY)/.set-up ## Look for holes in the template, the workflows, the files
	@echo '== checkov: template.yaml, delivery/github.yaml'
	@$(CHECKOV) --framework cloudformation --file template.yaml delivery/github.yaml
	@echo '== checkov: workflows and secrets'
	@$(CHECKOV) --framework github_actions secrets --directory .
	@echo '== zizmor: .github'
	@$(SECURITY)/bin/zizmor --offline --no-progress --quiet .github

# Strict, since a package index that knows no advisories would pass for one that knows of none.
audit: $(SECURITY)/.set-up ## Ask PyPI for known holes in every pinned package
	@for file in requirements*.txt functions/*/requirements.txt; do \
		echo "== pip-audit: $$file"; \
		$(SECURITY)/bin/pip-audit --strict --disable-pip --require-hashes --requirement $$file \
			|| failed=1; done; exit $${failed:-0}

build: $(SET_UP) ## Build the functions as `sam deploy` takes them
	@PATH="$(abspath $(BIN)):$$PATH" exec sam build

has-env:
	@test -n '$(ENV)' || { \
		echo 'make: name an environment of samconfig.toml: make $(MAKECMDGOALS) ENV=dev' >&2; exit 1; }

preflight: has-env $(SET_UP) ## Say what a deployment of ENV would fail on, and what to do; changes nothing
	@exec $(BIN)/python -m tools.preflight --env '$(ENV)' $(ARGS)

# Before a minute is spent on building. ARGS may hold what a shell has to read as one word.
preflight-quick: has-env $(SET_UP)
	@test '$(PREFLIGHT)' = no || exec $(BIN)/python -m tools.preflight --quick --env '$(ENV)' $(ARGS)

deploy: preflight-quick build ## Deploy ENV=dev or ENV=prod once its changes are confirmed; ARGS go to SAM
	@PATH="$(abspath $(BIN)):$$PATH" exec sam deploy --config-env '$(ENV)' $(ARGS)

changes: preflight-quick build ## Show what a deployment of ENV would change; ARGS go to SAM
	@PATH="$(abspath $(BIN)):$$PATH" exec $(BIN)/python -m tools.changes show --env '$(ENV)' $(ARGS)

execute: has-env $(SET_UP) ## Carry out the changes that `make changes` showed: CHANGE_SET=arn:...
	@exec $(BIN)/python -m tools.changes execute --env '$(ENV)' --change-set '$(CHANGE_SET)'

smoke: has-env $(SET_UP) ## Send an example file through ENV, and see it loaded; DATASET=name picks one
	@exec $(BIN)/python -m tools.smoke --env '$(ENV)' $(if $(DATASET),--dataset '$(DATASET)')

verify: has-env $(SET_UP) ## Try each assumption of docs/assumptions.md on ENV; say first what it costs, and ask
	@exec $(BIN)/python -m tools.verify --env '$(ENV)' $(ARGS)

destroy: has-env $(SET_UP) ## Delete the stack of ENV=dev or ENV=prod; say what is kept, and its cost
	@exec $(BIN)/python -m tools.destroy --env '$(ENV)' $(ARGS)

cost: $(SET_UP) ## Write docs/cost.md anew, from tools/prices.toml
	@$(BIN)/python -m tools.cost >docs/cost.md

year: $(SET_UP) ## Write the files of a whole year into build/year-2013
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --require-hashes \
		--requirement requirements-year.txt
	@$(BIN)/python -m $(subst /,.,$(basename $(wildcard examples/*/split_year.py))) $(YEAR)

lock: $(SET_UP) ## Write the requirements files anew, with the newest versions that fit
	@$(COMPILE) requirements.in --output-file requirements.txt
	@$(COMPILE) requirements-uv.in --output-file requirements-uv.txt
	@$(COMPILE) requirements-security.in --output-file requirements-security.txt
	@$(COMPILE) --no-deps requirements-year.in --output-file requirements-year.txt

clean: ## Remove what the targets have made, .venv and build too
	@rm -rf $(VENV) .aws-sam build .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# INSTALL,environment,locked file. uv takes seconds where pip takes a minute, but reads none of pip's
# settings: where the index is reachable through those alone, pip installs the same locked files.
INSTALL = $(BIN)/uv pip install --quiet --python $(1)/bin/python --link-mode copy \
		--require-hashes --requirement $(2) \
	|| { echo '== set-up: uv could not install (its reason is above); pip does, in a minute or two'; \
		$(1)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement $(2); }

# An interrupt must not look like uv's failure.
#
# The SAM CLI is pinned, so it need not ask the index whether there is a newer one.
$(SET_UP): requirements.txt requirements-uv.txt
	@python='$(PYTHON)'; "$$python" $(SUITS) || { \
		echo 'set-up: no Python 3.11 or newer with venv and pip was found' \
			"(tried $${python:-python3.13, python3.12, python3.11, python3});" \
			'name one: make PYTHON=/path/to/python3' >&2; exit 1; }; \
	echo "== set-up: $(VENV), $$("$$python" --version)"; \
	"$$python" -m venv --clear $(VENV)
	@trap 'exit 130' INT TERM; \
		$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-uv.txt \
		&& $(call INSTALL,$(VENV),requirements.txt)
	@mkdir -p $(VENV)/sam-cli && echo '{"lastVersionCheck": 4102444800.0}' >$(VENV)/sam-cli/metadata.json
	@touch $@

$(SECURITY)/.set-up: requirements-security.txt $(SET_UP)
	@echo '== set-up: $(SECURITY)'
	@$(BIN)/python -m venv --clear $(SECURITY)
	@trap 'exit 130' INT TERM; $(call INSTALL,$(SECURITY),requirements-security.txt)
	@touch $@
