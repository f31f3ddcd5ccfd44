# make starry   create the environment and make the first picture, output/starry/image.png
#               ENGINE=torch adds PyTorch where MXNet is the default, and makes the picture with it
# make test     run the tests    make lint   check style and types    make bench   measure time and memory
# make test-torch   run the tests in an environment without MXNet, .venv-torch, as on machines where it does not install
# make page     make pictures in the browser; its packages go into an environment of their own, .venv-page
# make test-page    test the page in a real browser; as root, it installs the packages it needs
# make test-slurm   run the tests on a real Slurm of one node; as root, it installs the packages it needs
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
VENV_PAGE := .venv-page
PYTHON_PAGE := $(VENV_PAGE)/bin/python
VENV_TORCH := .venv-torch
PYTHON_TORCH := $(VENV_TORCH)/bin/python

# The first of these that is installed; PYTHON3=... chooses another. MXNet 1.9.1 supports the first three, on x86-64 Linux.
NEWER := python3.13 python3.14 python3
NAMES := $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),python3.11 python3.12 python3.10) $(NEWER) \
  python3.12 python3.11 python3.10
first_of = $(firstword $(foreach name,$(1),$(shell \
  $(name) -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $(name))))
PYTHON3 ?= $(call first_of,$(NAMES))
PYTHON3_TORCH ?= $(call first_of,$(NEWER) $(PYTHON3))
create = $(if $(1),$(1) -m venv $(2),@echo "error: Python 3.10 or later with venv is needed (on Debian: apt install python3-venv)" >&2; exit 2)
install = -m pip install --quiet --disable-pip-version-check

.PHONY: starry page test test-torch test-page test-slurm lint bench clean
starry: $(VENV)/installed $(if $(filter torch,$(ENGINE)),$(VENV)/installed-torch)
	$(PYTHON) scripts/nstyle.py --config configs/starry.yaml --force $(if $(ENGINE),--set engine=$(ENGINE))

page: $(VENV)/installed $(VENV_PAGE)/installed
	$(PYTHON_PAGE) scripts/page.py --python $(PYTHON)

test: $(VENV)/installed-dev
	$(PYTHON) -m pytest

test-torch: $(VENV_TORCH)/installed-dev
	$(PYTHON_TORCH) -m pytest

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
	$(call create,$(PYTHON3),$(VENV))

$(VENV)/installed: requirements.txt | $(VENV)/bin/python
	$(PYTHON) $(install) -r requirements.txt
	touch $@

$(VENV)/installed-torch: requirements-torch.txt $(VENV)/installed
	$(PYTHON) $(install) -r requirements-torch.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements-torch.txt $(VENV)/installed
	$(PYTHON) $(install) -r requirements-dev.txt
	touch $@

$(PYTHON_TORCH):
	$(call create,$(PYTHON3_TORCH),$(VENV_TORCH))

# The requirements of another machine: in the copy, no marker is that of x86-64.
$(VENV_TORCH)/installed-dev: requirements-dev.txt requirements-torch.txt requirements.txt | $(PYTHON_TORCH)
	cp requirements-dev.txt requirements-torch.txt $(VENV_TORCH)
	sed 's/"x86_64"/"another"/' requirements.txt > $(VENV_TORCH)/requirements.txt
	$(PYTHON_TORCH) $(install) -r $(VENV_TORCH)/requirements-dev.txt
	touch $@

$(PYTHON_PAGE):
	$(call create,$(PYTHON3),$(VENV_PAGE))

$(VENV_PAGE)/installed: requirements-page.txt requirements.txt | $(PYTHON_PAGE)
	$(PYTHON_PAGE) $(install) -r requirements-page.txt -c requirements.txt
	touch $@

$(VENV_PAGE)/installed-dev: requirements-page-dev.txt requirements-dev.txt $(VENV_PAGE)/installed
	$(PYTHON_PAGE) $(install) -r requirements-page-dev.txt -c requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) $(VENV_PAGE) $(VENV_TORCH) .pytest_cache .mypy_cache .ruff_cache .hypothesis
