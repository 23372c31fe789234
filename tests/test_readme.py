"""README: its example runs, its links lead somewhere, its tables are what the store says."""

import re
import subprocess
import sys

from browser import ROOT

from core.commands import tables
from core.config import MODEL_KINDS
from core.storage.store import Store
from core.verdicts.paper import STUDIED

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


def test_the_summary_is_what_the_store_prints():
    (written,) = re.findall(r"<!-- summary -->\n(.*?)\n<!-- end of summary -->", README, flags=re.DOTALL)
    assert written.strip() == tables.summary_table(STUDIED)


def test_the_page_of_results_is_what_the_store_prints():
    assert (ROOT / "docs" / "results.md").read_text().strip() == tables.results_page(STUDIED)


def test_every_corpus_with_stored_lstms_is_on_the_page_of_results():
    assert {card["corpus"] for card in Store().model_cards() if card["model"] in MODEL_KINDS} == set(STUDIED)
