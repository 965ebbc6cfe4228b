# make repro [COHORT=phantom|africa|spain]   run the study; FETALKIT_MIRROR names a folder with unpacked archives
# make repro COHORT=hospitals                from one hospital to another; first what it needs of spain and africa
# make verify [COHORT=...]                   compare the last run with the published tables
# make publish [COHORT=...]                  put the report of the last run into reports/, which git versions
# make check                                 style, types and the quick tests; under a minute
# make test                                  the test suite; `make test-long` what takes minutes each
# make lab [COHORT=...]                      explore the notebooks in JupyterLab
# make bench                                 measure speed and quality of the generator; about two hours
# make search                                compare settings of the generator on validation patients; an hour
# make search-training [COHORT=spain|africa] compare settings of the classifiers' training, likewise
# make lint | make readme | make docs | make pipelines | make lock

PYTHON ?= python3
COHORT ?= phantom
VENV := .venv
READY := $(VENV)/ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# The training protocol is searched on a real cohort.
SEARCHED := $(if $(filter phantom,$(COHORT)),spain,$(COHORT))

.PHONY: repro verify publish check test test-long lab lint bench search search-training readme docs pipelines lock

repro: $(READY)
	fetalkit repro "$(COHORT)"

verify: $(READY)
	fetalkit verify "$(COHORT)"

publish: $(READY)
	fetalkit publish "$(COHORT)"

# Types beside the quick tests: the checker works on one core, the tests on the others.
check: lint
	pyright & types=$$!; \
	others=$$(python -c "import os; print(min(8, os.cpu_count() - 1))"); \
	pytest --quiet $$(test $$others -lt 2 || echo --numprocesses $$others --dist loadfile) -m "not slow"; tests=$$?; \
	wait $$types && exit $$tests

# Files side by side, one process per core; a file's tests share what they prepare, and stay together.
test: $(READY)
	pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder -m "not long"

# What takes minutes each: killed studies and workers, cohorts side by side, several processes on one generator.
test-long: $(READY)
	pytest -m long

# Notebooks work in notebooks/, where a relative mirror is not found; they link pages in reports/, which the server has to see.
lab: $(READY)
	if [ -d "$$FETALKIT_MIRROR" ]; then export FETALKIT_MIRROR="$$(cd "$$FETALKIT_MIRROR" && pwd)"; fi; \
	FETALKIT_COHORT="$(COHORT)" jupyter lab --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks

lint: $(READY)
	ruff check .
	ruff format --check .
	nbstripout --verify notebooks/*.ipynb

bench: $(READY)
	python benchmarks/simulator.py
	python benchmarks/generator.py
	python benchmarks/classifier.py
	python benchmarks/classifier_precision.py
	fetalkit repro spain decode split
	python benchmarks/quality.py

search: $(READY)
	fetalkit repro spain decode split
	fetalkit run search_generator --cohort spain
	fetalkit publish spain --search generator

search-training: $(READY)
	fetalkit repro "$(SEARCHED)" train-generators
	fetalkit run search_training --cohort "$(SEARCHED)"
	fetalkit publish "$(SEARCHED)" --search training

readme: $(READY)
	fetalkit readme

# The site, in work/site; mkdocs-material is in no lock file, as no study needs it.
docs: $(READY)
	python -m pip install --quiet --no-build-isolation --editable '.[docs]'
	mkdocs build

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fetalkit needs Python 3.11 or newer; name one with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --no-compile --requirement requirements.lock
	-$(VENV)/bin/python -m compileall -qq -j 0 $(VENV)/lib  # pip compiles on one core; some packages ship files that are no Python
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

pipelines: $(READY)
	fetalkit pipelines

lock:
	uv pip compile pyproject.toml --extra dev --extra dicom --extra cluster --extra pdf --universal --python-version 3.11 --no-header --output-file requirements.lock
