"""README: its example runs, its links lead somewhere, its table is what the store says."""

import re
import subprocess
import sys

import pytest
from browser import ROOT

from core.commands import tables
from core.config import MODEL_KINDS
from core.storage.store import Store

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_example_prints_stored_results_within_ten_lines():
    (example,) = blocks("python")
    assert len(example.strip().splitlines()) <= 10
    done = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 8
    assert all(line.endswith("(n = 2189, store)") for line in lines)


def test_links_to_files_lead_to_files():
    local = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert "LICENSE" in local
    assert [target for target in local if not (ROOT / target.split("#")[0]).exists()] == []


def test_every_verb_of_the_command_line_is_named():
    named = re.search(r"Verbs: (.*?);", README, flags=re.DOTALL)
    assert named
    from core.__main__ import app

    verbs = {(command.name or command.callback.__name__) for command in app.registered_commands if command.callback}
    assert set(re.findall(r"`(\w+)`", named[1])) == verbs


def test_every_make_target_that_is_named_exists():
    named = set(re.findall(r"`make (\w+)`", README)) | set(re.findall(r"^make (\w+)", README, flags=re.MULTILINE))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {"run", "test", "bench", "screenshots"} <= named
    assert named - targets == set()


TABLES = re.findall(r"<!-- table (\S+) -->\n(.*?)\n<!-- end of table -->", README, flags=re.DOTALL)


@pytest.mark.parametrize(("corpus", "written"), TABLES, ids=lambda value: value[:12])
def test_a_results_table_is_what_the_store_prints(corpus, written):
    assert written.strip() == tables.accuracy_table(corpus)


def test_every_corpus_with_stored_lstms_has_its_table():
    trained = {card["corpus"] for card in Store().model_cards() if card["model"] in MODEL_KINDS}
    assert {corpus for corpus, _ in TABLES} == trained
