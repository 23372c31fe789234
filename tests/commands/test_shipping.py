"""Which weights, predictions and rows go along with the code."""

from typing import Any

import pytest
from stored import META, card, result, tensors_of

from core import pipeline
from core.commands import shipping
from core.config import CorpusSpec, default_run
from core.errors import InputError
from core.storage.store import Store
from core.text import corpora

RECIPE = {"head": "gpfq"}
CORPUS = CorpusSpec(name="agnews")


def run(**train: Any) -> dict[str, Any]:
    return default_run(CORPUS, "generative", **train).model_dump(mode="json")


def save_model(key: int, spec: dict[str, Any]) -> None:
    history = {"epochs": [], "corpus": "some news"}
    row = card(f"{key:016x}", spec=spec, seed=spec["train"]["seed"], n_train=3, history=history)
    Store().save_model_card(row)
    Store().save_tensors("weights", f"{key:016x}", tensors_of(), META)


def save_result(
    key: int,
    spec: dict[str, Any],
    recipe: dict[str, Any] | None = None,
    scheme: str = "conditional",
    draw: int = 0,
    **changes: Any,
) -> None:
    variant = {"run": spec, "recipe": recipe, "calibration": {"scheme": scheme, "seed": draw} if recipe else None}
    row = {"noise": 0.0, "split": "test", "spec": {"variant": variant}}
    Store().save_result(result(f"{key:016x}", **(row | changes)))
    Store().save_tensors("evaluations", f"{key:016x}", tensors_of(), META)


def shipped(kind: str, form: str) -> set[int]:
    store = Store()
    return {int(e.key, 16) for e in store.entries() if (e.kind, e.form, e.layer) == (kind, form, "shipped")}


def test_weights_of_the_first_seed_and_clean_text_go_along(tmp_cache):
    for key, spec in enumerate((run(), run(seed=1), run(noise=0.1))):
        save_model(key, spec)
        save_result(10 + key, spec)
    shipping.ship(Store(), "agnews")
    assert shipped("weights", "tensors") == {0}
    assert shipped("models", "row") == {0, 1, 2}
    assert shipped("evaluations", "row") == {10, 11, 12}
    assert shipped("evaluations", "tensors") == {10}


def test_models_of_a_part_of_the_corpus_and_their_results_stay(tmp_cache):
    for key, spec in enumerate((run(), run(limit=2000))):
        save_model(key, spec)
        save_result(10 + key, spec)
    assert shipping.ship(Store(), "agnews") == 4
    assert shipped("models", "row") == shipped("weights", "tensors") == {0}
    assert shipped("evaluations", "row") == {10}


@pytest.fixture
def first_corpus(monkeypatch):
    """Take the corpus of these tests for the one that opens first; gives its variants at the default settings."""
    usual = [pipeline.specify("agnews", "generative", bits).variant for bits in (4, 3)]
    monkeypatch.setattr(shipping, "_default_variants", lambda corpus: usual)
    monkeypatch.setattr(corpora, "DEFAULT", "agnews")
    return usual


def test_predictions_go_along_for_what_pairs_are_tested_on(tmp_cache, first_corpus):
    save_model(0, run())
    save_result(10, run(), RECIPE)
    save_result(11, run(), RECIPE, noise=0.1)
    save_result(12, run(), RECIPE, draw=1)
    save_result(13, run(), RECIPE, "classes")
    save_result(14, run(), RECIPE | {"cell_range": 2.0})
    save_result(15, run(), RECIPE, "unconditional")
    save_result(16, run(), {"head": "round", "ranges": "percentile"})
    save_result(17, run(), {"head": "round", "ranges": "fitted"})
    shipping.ship(Store(), "agnews")
    assert shipped("evaluations", "row") == set(range(10, 18))
    assert shipped("evaluations", "tensors") == {10, 15, 17}


def test_another_corpus_sends_predictions_of_the_default_settings_alone(tmp_cache, first_corpus, monkeypatch):
    monkeypatch.setattr(corpora, "DEFAULT", "another")
    save_model(0, run())
    save_result(10, run(), RECIPE)
    usual = {"variant": first_corpus[0].model_dump(mode="json")}
    Store().save_result(result(f"{11:016x}", noise=0.0, split="test", spec=usual))
    Store().save_tensors("evaluations", f"{11:016x}", tensors_of(), META)
    shipping.ship(Store(), "agnews")
    assert shipped("evaluations", "row") == {10, 11}
    assert shipped("evaluations", "tensors") == {11}


def test_quantized_models_at_the_default_settings_go_along_for_the_first_corpus(tmp_cache, first_corpus, monkeypatch):
    save_model(0, run())
    save_result(10, run())
    for variant in (first_corpus[0], first_corpus[1].model_copy(update={"run": default_run(CORPUS, "discriminative")})):
        Store().save_tensors("variants", variant.fingerprint(), tensors_of(), META)
    shipping.ship(Store(), "agnews")
    keys = {entry.key for entry in Store().entries() if (entry.kind, entry.layer) == ("variants", "shipped")}
    assert keys == {first_corpus[0].fingerprint()}
    monkeypatch.setattr(corpora, "DEFAULT", "another")
    Store().save_tensors("variants", first_corpus[1].fingerprint(), tensors_of(), META)
    shipping.ship(Store(), "agnews")
    assert not Store().shipped.joinpath("variants", f"{first_corpus[1].fingerprint()}.safetensors").exists()


def test_distances_of_its_models_go_along(tmp_cache):
    save_model(0, run())
    save_result(10, run())
    for key, spec in enumerate((run(), run(limit=2000))):
        pair = {"first": {"scheme": "conditional"}, "second": {"scheme": "unconditional"}}
        meta = META | {"spec": {"run": spec, **pair}, "ks": {}, "documents": [1, 1]}
        Store().save_tensors("distances", f"{key:016x}", tensors_of(), meta)
    shipping.ship(Store(), "agnews")
    assert shipped("distances", "tensors") == {0}


def test_the_card_of_the_corpus_goes_along(tmp_cache):
    save_model(0, run())
    save_result(10, run())
    shipping.ship(Store(), "agnews")
    assert (Store().shipped / "agnews.md").read_text().startswith("# Models of agnews\n\nText: some news\n")


def test_a_corpus_without_results_is_refused(tmp_cache):
    save_model(0, run())
    with pytest.raises(InputError, match="no results for 'agnews'; run study agnews first"):
        shipping.ship(Store(), "agnews")
