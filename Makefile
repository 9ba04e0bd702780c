# Everything happens in .venv, which packaging/bootstrap.py sets up: it needs python3 and a package
# index, and does nothing when .venv is up to date.

FOLDER = inbox
MODEL = mediapipe-holistic
PYTHON = python3
# Extras to install: gpu in place of cpu, systemd.
EXTRA =

VENV = .venv/bin
SET_UP = @$(PYTHON) packaging/bootstrap.py $(EXTRA:%=--extra %)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test setup-dev check unit wheel test-long test-floors test-prometheus test-system \
	test-blank-gpu dashboards dashboard-pictures bench deb format clean

help:
	@echo 'make run                     watch ./inbox: copy a video in, its poses appear beside it'
	@echo 'make run FOLDER=/some/videos watch another folder'
	@echo 'make run EXTRA=gpu           compute on an NVIDIA GPU'
	@echo 'make test                    all checks and tests, as CI runs them'
	@echo 'make check                   only the linters and types;  make unit: only the tests'
	@echo 'make test-long               tests that search for minutes, beside those of make test'
	@echo 'make test-floors             the tests with the oldest libraries that setup.cfg allows'
	@echo 'make test-prometheus         alerts and dashboards on a real Prometheus (Debian package prometheus)'
	@echo 'make test-system             the package on a real systemd, in a container (root, Debian)'
	@echo 'make test-blank-gpu          the real onnxruntime-gpu on a GPU that computes nothing (C compiler)'
	@echo 'make dashboards              write the dashboards for Grafana anew'
	@echo 'make deb [EXTRA=gpu]         the Debian package for this release, in dist'
	@echo 'make bench BENCH=holistic    one benchmark of tests/bench'
	@echo 'make format                  format the code'
	@echo 'make clean                   remove what make made; never your videos or results'

# The folder's name goes through the environment, so that any name will do.
run: export WATCHED = $(FOLDER)
run:
	$(SET_UP)
	@if [ "$$WATCHED" = inbox ]; then mkdir -p inbox; fi
	@$(VENV)/posewatch models pull $(MODEL)
	@exec $(VENV)/posewatch run "$$WATCHED"

test: check unit wheel

setup-dev:
	$(SET_UP) --extra dev

check: setup-dev
	$(VENV)/ruff check
	$(VENV)/ruff format --check
	$(VENV)/mypy
	$(VENV)/mypy packaging
	$(VENV)/lint-imports

unit: setup-dev
	$(VENV)/python -m pytest $(ARGS)

wheel: setup-dev
	$(VENV)/python packaging/check_wheel.py

test-long: setup-dev
	$(VENV)/python -m pytest -m long $(ARGS)

test-floors: setup-dev
	$(VENV)/python packaging/check_floors.py $(ARGS)

test-prometheus: setup-dev
	POSEWATCH_REQUIRE_TOOLS=1 $(VENV)/python -m pytest -m '' tests/monitoring $(ARGS)

dashboards: setup-dev
	$(VENV)/python packaging/make_dashboards.py

dashboard-pictures:
	$(SET_UP) --extra dev --extra pictures
	POSEWATCH_REQUIRE_TOOLS=1 POSEWATCH_PICTURES=docs/images \
	  $(VENV)/python -m pytest -m '' tests/monitoring/test_panels.py

test-blank-gpu: setup-dev
	$(VENV)/python -m pip install --quiet --no-deps --upgrade --target build/onnxruntime-gpu 'onnxruntime-gpu>=1.31.1'
	POSEWATCH_REQUIRE_TOOLS=1 $(VENV)/python -m pytest -m '' tests/blank_gpu $(ARGS)

test-system:
	$(PYTHON) tests/systemd/live.py $(ARGS)

deb:
	@$(PYTHON) packaging/bootstrap.py
	$(VENV)/python packaging/build_deb.py $(EXTRA:%=--%)

bench: setup-dev
	@if [ -z '$(BENCH)' ]; then \
	  echo 'Which one? make bench BENCH=name, where name is one of:'; \
	  grep -l 'make bench BENCH=' tests/bench/*.py | sed 's,.*/\(.*\)\.py,  \1,'; exit 2; \
	fi
	$(VENV)/python tests/bench/$(subst -,_,$(BENCH)).py $(ARGS)

format: setup-dev
	$(VENV)/ruff check --fix
	$(VENV)/ruff format

clean:
	rm -rf .venv build dist *.egg-info .*_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
