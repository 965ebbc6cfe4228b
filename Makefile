# make repro [COHORT=phantom|africa|spain]   run the study; FETALKIT_MIRROR names a folder with unpacked archives
# make repro COHORT=transfer                 from one hospital to another; first what it needs of spain and africa
# make check                                 style, types and the quick tests; under a minute
# make test                                  the whole test suite
# make lab [COHORT=...]                      explore the notebooks in JupyterLab
# make bench                                 measure speed and quality of the generator; about two hours
# make search                                compare settings of the generator on validation patients; an hour
# make search-training [COHORT=spain|africa] compare settings of the classifiers' training, likewise
# make lint | make readme | make docs | make pipelines | make lock

PYTHON ?= python3
COHORT ?= phantom
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/ready
export PATH := $(BIN):$(PATH)

# The default cohort is the pipeline at the top; every other one has a copy of it beside its reports.
PIPELINE := $(if $(filter phantom,$(COHORT)),dvc.yaml,reports/$(COHORT)/dvc.yaml)

# The training protocol is searched on a real cohort.
SEARCHED := $(if $(filter phantom,$(COHORT)),spain,$(COHORT))

.PHONY: repro check test lab lint bench search search-training readme docs pipelines lock

repro: $(READY) $(PIPELINE)
	dvc repro $(PIPELINE)
	@echo "The report is at $(CURDIR)/data/$(COHORT)/pages/index.html"

# Types beside the quick tests: the checker works on one core, and tests wait now and then.
check: lint
	pyright & types=$$!; pytest --quiet --numprocesses auto --maxprocesses 8 --dist loadfile -m "not slow"; tests=$$?; \
	wait $$types && exit $$tests

# Files side by side, one process per core; a file's tests share what they prepare, and stay together.
test: $(READY)
	pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

lab: $(READY)
	FETALKIT_COHORT=$(COHORT) jupyter lab notebooks

lint: $(READY)
	ruff check .
	ruff format --check .
	nbstripout --verify notebooks/*.ipynb

bench: $(READY)
	python benchmarks/simulator.py
	python benchmarks/generator.py
	python benchmarks/classifier.py
	dvc repro reports/spain/dvc.yaml:decode reports/spain/dvc.yaml:split
	python benchmarks/quality.py

search: $(READY)
	dvc repro reports/spain/dvc.yaml:decode reports/spain/dvc.yaml:split
	fetalkit run search_generator --cohort spain
	fetalkit publish spain --search generator

search-training: $(READY)
	dvc repro reports/$(SEARCHED)/dvc.yaml:synthesise
	fetalkit run search_training --cohort $(SEARCHED)
	fetalkit publish $(SEARCHED) --search training

readme: $(READY)
	fetalkit readme

# The site, in work/site; mkdocs-material is in no lock file, as no study needs it.
docs: $(READY)
	pip install --quiet --no-build-isolation --editable '.[docs]'
	mkdocs build

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fetalkit needs Python 3.11 or newer; name one with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

reports/%/dvc.yaml: dvc.yaml
	mkdir -p $(@D)
	sed -e 's/^  - cohort: phantom$$/  - cohort: $*/' -e 's/^    root: \.$$/    root: ..\/../' -e '/# <default>/,/# <\/default>/d' $< > $@

# A pipeline of its own, no copy.
reports/transfer/dvc.yaml: ;

pipelines: $(wildcard reports/*/dvc.yaml)

lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --no-header --output-file requirements.lock
