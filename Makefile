# `make demo` and `make test` do everything on a bare machine: environment, installation, run.
# `make test` leaves out the tests that `make docs`, `make browser` and `make package` run; .ci/run runs all.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
N ?= 10000

.PHONY: demo test check docs site package bench fuzz soak web browser clean

demo: $(READY)
	$(BIN)/poseact demo -o demo_output

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not docs and not packaging and not browser"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest tests/test_house.py

site: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs: site
	$(BIN)/python -m pytest -n 2 --dist load -m docs

package: $(READY)
	$(BIN)/python -m pytest -m packaging

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz.attack $(N) --keep fuzz_output

soak: $(READY)
	$(BIN)/python -m tests.soak.kills
	$(BIN)/python -m tests.soak.long
	$(BIN)/python -m tests.soak.live

web: $(READY)
	$(BIN)/python -m tools.web_demo

browser: $(READY)
	$(BIN)/python -m pytest -m browser

bench: $(READY)
	for file in benchmarks/bench_*.py; do $(BIN)/python -m benchmarks.$$(basename $$file .py) || exit 1; done

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,docs]"
	touch $@

clean:
	rm -rf $(VENV) demo_output fuzz_output poseact_demo poseact_out site build dist *.egg-info src/*.egg-info
