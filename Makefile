# make run: the app on http://localhost:8501. make test: everything that has to hold. Both start from a bare checkout.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
CORPORA ?= reuters-r8
TYPED := core pages app.py benchmarks

.PHONY: run test bench screenshots setup corpus lint types browser clean

run: corpus
	$(BIN)/python -m streamlit run app.py

test: lint types browser corpus
	$(BIN)/python -m pytest

# The engine against its peers, some minutes for each corpus; transformer methods against float; the app against bare
# pages. Leave the machine alone.
bench: corpus browser
	for corpus in $(CORPORA); do $(BIN)/python -m benchmarks.engine --corpus $$corpus; done
	$(BIN)/python -m benchmarks.methods
	$(BIN)/python -m benchmarks.app

# Pictures of every page for docs/.
screenshots: corpus browser
	$(BIN)/python tests/screenshots.py

setup: $(VENV)/.installed

corpus: $(VENV)/.installed
	$(BIN)/python -m core fetch reuters-r8

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy $(TYPED)

browser: $(VENV)/.installed-dev
	$(BIN)/python tests/browser.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis screenshots
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo 'Bitdial needs Python 3.11; name one with: make PYTHON=/path/to/python3.11'; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || \
		{ rm -rf $(VENV); echo 'this Python makes no virtual environment; on Debian: apt-get install python3.11-venv'; exit 1; }
	@touch $@

$(VENV)/.installed: requirements.txt $(VENV)/.created
	@echo 'Installing what the app needs into $(VENV); this takes a minute or some.'
	@$(BIN)/python -m pip install --quiet --requirement requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo 'Installing what the tests need into $(VENV).'
	@$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	@touch $@
