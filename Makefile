# make starry   create the environment and make the first picture, output/starry/image.png
# make test     run the tests    make lint   check style and types    make bench   measure time and memory
# make page     make pictures in the browser; its packages go into an environment of their own, .venv-page
# make test-page    test the page in a real browser; as root, it installs the packages it needs
# make test-slurm   run the tests on a real Slurm of one node; as root, it installs the packages it needs
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
VENV_PAGE := .venv-page
PYTHON_PAGE := $(VENV_PAGE)/bin/python

# The first of these that is installed and supported by MXNet 1.9.1; PYTHON3=... chooses another.
PYTHON3 ?= $(firstword $(foreach name,python3.11 python3.12 python3.10 python3,$(shell \
  $(name) -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null && echo $(name))))

.PHONY: starry page test test-page test-slurm lint bench clean
starry: $(VENV)/installed
	$(PYTHON) scripts/nstyle.py --config configs/starry.yaml --force

page: $(VENV)/installed $(VENV_PAGE)/installed
	$(PYTHON_PAGE) scripts/page.py --python $(PYTHON)

test: $(VENV)/installed-dev
	$(PYTHON) -m pytest

test-page: $(VENV)/installed $(VENV_PAGE)/installed-dev
	tests/page/run.sh $(PYTHON_PAGE) $(PYTHON)

test-slurm: $(VENV)/installed-dev
	tests/slurm/run.sh $(PYTHON)

lint: $(VENV)/installed-dev
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

bench: $(VENV)/installed
	$(PYTHON) scripts/bench.py

$(VENV)/bin/python:
	@test -n "$(PYTHON3)" || { echo "error: Python 3.10, 3.11 or 3.12 with venv is needed (on Debian: apt install python3-venv)" >&2; exit 2; }
	$(PYTHON3) -m venv $(VENV)

$(VENV)/installed: requirements.txt | $(VENV)/bin/python
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(PYTHON_PAGE):
	@test -n "$(PYTHON3)" || { echo "error: Python 3.10, 3.11 or 3.12 with venv is needed (on Debian: apt install python3-venv)" >&2; exit 2; }
	$(PYTHON3) -m venv $(VENV_PAGE)

$(VENV_PAGE)/installed: requirements-page.txt requirements.txt | $(PYTHON_PAGE)
	$(PYTHON_PAGE) -m pip install --quiet --disable-pip-version-check -r requirements-page.txt -c requirements.txt
	touch $@

$(VENV_PAGE)/installed-dev: requirements-page-dev.txt requirements-dev.txt $(VENV_PAGE)/installed
	$(PYTHON_PAGE) -m pip install --quiet --disable-pip-version-check -r requirements-page-dev.txt -c requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) $(VENV_PAGE) .pytest_cache .mypy_cache .ruff_cache .hypothesis
