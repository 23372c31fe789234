"""The facts about this copy: what it names exists, what it counts is what the store and the disk hold."""

from pathlib import Path
from pkgutil import resolve_name

import compared
import pytest
from browser import ROOT
from compared import Place

from core import pipeline, runtime
from core.config import FLOAT_BITS, MODEL_KINDS
from core.display import charts
from core.quantization.residents import KEPT
from core.storage.store import Store
from core.teaching import about, guide
from core.teaching.about import NUMBERS, Number


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Place:
    return compared.use(tmp_path_factory, monkeypatch)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_a_number_names_code_and_an_entry_that_exist(number: Number) -> None:
    assert callable(resolve_name(number.code))
    assert number.anchor in {entry.anchor for entry in guide.ENTRIES}
    assert number.definition


def test_the_machine_says_versions_and_device(place: Place) -> None:
    facts = {row["Part"]: row["What"] for row in about.machine()}
    assert runtime.versions().items() <= facts.items()
    assert facts["device"] == "cpu"


def test_disk_counts_every_file_of_the_layers_once(place: Place) -> None:
    files = [path for path in place.cache.rglob("*") if path.is_file()]
    table = about.disk()
    assert sum(row["Files"] for row in table) == len(files)
    assert sum(row["MB"] for row in table) == pytest.approx(sum(p.stat().st_size for p in files) / 1e6, abs=0.05)
    assert str(place.cache) in about.describe_disk(table)


def test_results_are_counted_by_corpus_and_model(place: Place) -> None:
    rows = Store().results()
    assert sum(row["Results"] for row in about.stored()) == len(rows)
    assert {row["Model"]: row["In float"] for row in about.stored()} == dict.fromkeys(MODEL_KINDS, 1)


def test_a_models_accuracy_is_that_of_its_float_row(place: Place) -> None:
    for row in about.models():
        (stored,) = Store().results(model=row["Model"], bits=FLOAT_BITS)
        assert (row["Accuracy in float"], row["n"]) == (charts.percent(stored["accuracy"]), stored["n"])


def test_a_card_of_another_kind_of_model_is_listed_without_accuracy(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compared.use_copy(tmp_path_factory, monkeypatch, tmp_path)
    card = Store().model_cards()[0]
    spec = {"model": {"kind": "bert", "base": "any"}, "train": {"learning_rate": 2e-5}}
    Store().save_model_card(card | {"key": "f" * 16, "model": "bert", "spec": spec})
    (row,) = [row for row in about.models() if row["Model"] == "bert"]
    assert row["Accuracy in float"] == "not stored"


def test_memory_lists_what_is_kept_and_can_be_emptied(place: Place) -> None:
    KEPT.clear()
    assert about.memory() == []
    pipeline.resident(place.settings(bits=3).spec("discriminative").variant)
    (row,) = about.memory()
    assert (row["Model"], row["Variant"]) == ("discriminative", "uniform 3 bits, percentile, round")
    assert about.describe_memory().startswith("1 variants")
    about.empty_memory()
    assert len(KEPT) == 0


def test_an_empty_store_has_nothing(tmp_cache: Path) -> None:
    assert [about.disk(), about.stored(), about.models(), about.cards()] == [[], [], [], {}]
    assert about.describe_disk([]).endswith("nothing yet.")


def test_the_shipped_cards_are_read(tmp_cache: Path) -> None:
    (tmp_cache / "shipped").symlink_to(ROOT / "cache" / "shipped")
    assert all(text.startswith(f"# Models of {corpus}") for corpus, text in about.cards().items())
    assert "reuters-r8" in about.cards()
