"""The main path's look-ups: what is computed, what is found, and that both are the same."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import RUN, forget_corpora, specify, write_corpus

from core import pipeline
from core.config import MODEL_KINDS, CorpusSpec, ModelKind
from core.errors import InputError
from core.measurement import results
from core.storage.store import Row, Store


def figures(row: Row) -> Row:
    """A row without when and how fast it was made."""
    return {name: value for name, value in row.items() if name not in ("seconds", "created", "source")}


@pytest.mark.parametrize("model", MODEL_KINDS)
def test_everything_is_computed_once(own: str, calls: Counter[str], model: ModelKind) -> None:
    """A quantized generative result takes the float one with it, for the differences of token losses."""
    evaluations = 2 if model == "generative" else 1
    steps: tuple[tuple[dict[str, Any], dict[str, int]], ...] = (
        ({"bits": 3}, {"encode_corpus": 1, "train": 1, "quantize": 1, "evaluate": evaluations}),
        ({"bits": 3}, {}),
        ({"bits": 3, "noise": 0.1}, {"evaluate": evaluations}),
        ({"bits": 4}, {"quantize": 1, "evaluate": 1}),
        ({"bits": 4, "limit": 5}, {"evaluate": evaluations}),
        ({}, {"evaluate": 2 - evaluations}),
        ({"noise": 0.1}, {"evaluate": 2 - evaluations}),
        ({"bits": 4, "noise": 0.1}, {"evaluate": 1}),
        ({"bits": 3}, {}),
    )
    for settings, expected in steps:
        calls.clear()
        forget_corpora()
        row = pipeline.evaluate(specify(own, model, **settings))
        assert +calls == +Counter(expected), settings
        assert row["source"] == ("computed" if calls["evaluate"] else "store")


@pytest.mark.parametrize("model", MODEL_KINDS)
def test_what_is_looked_up_is_what_was_computed_and_would_be_again(
    corpus: str, model: ModelKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh store stands for another machine; torch's own seed has no say."""
    spec = specify(corpus, model, 3, noise=0.05)
    first, second = pipeline.evaluate(spec), pipeline.evaluate(spec)
    assert (first["source"], second["source"]) == ("computed", "store")
    assert {**first, "source": "store"} == second == pipeline.find(spec)
    arrays = results.load_outcome(Store(), first["key"])
    monkeypatch.setenv("BITDIAL_CACHE", str(tmp_path))
    torch.manual_seed(99)
    assert pipeline.find(spec) is None
    again = pipeline.evaluate(spec)
    assert figures(again) == figures(first)
    fresh = results.load_outcome(Store(), again["key"])
    assert arrays is not None
    assert fresh is not None
    assert all(np.array_equal(arrays[name], fresh[name]) for name in arrays)


def test_find_computes_nothing(own: str, calls: Counter[str]) -> None:
    spec = specify(own)
    assert pipeline.find(spec) is None
    assert not pipeline.trained(spec.variant.run)
    assert not calls
    pipeline.evaluate(spec)
    calls.clear()
    assert pipeline.trained(spec.variant.run)
    assert pipeline.find(spec) is not None
    assert pipeline.find(specify(own, bits=3)) is None
    Store().clean("weights")
    assert not pipeline.trained(spec.variant.run)
    assert not calls


def test_another_seed_gives_other_weights(corpus: str) -> None:
    first, second = (
        pipeline.build_model(specify(corpus, run={**RUN, "seed": seed}).variant.run).state_dict() for seed in (0, 1)
    )
    assert not torch.equal(first["head.weight"], second["head.weight"])


@pytest.mark.parametrize("model", MODEL_KINDS)
def test_broken_files_are_reported_and_made_again(own: str, model: ModelKind, caplog: pytest.LogCaptureFixture) -> None:
    plain, spec = specify(own, model), specify(own, model, 3)
    before = figures(pipeline.evaluate(spec))
    kinds = ("tokens", "weights", "variants", *(["token_losses"] if model == "generative" else []))
    for kind in kinds:
        Store().clean("evaluations")
        pipeline.evaluate(plain)
        damage(kind)
        caplog.clear()
        assert figures(pipeline.evaluate(spec)) == before
        assert f"{kind}/" in caplog.text
        assert "is not used" in caplog.text
    damage("evaluations")
    assert pipeline.compare(plain, spec)["flips"]["n"] == before["n"]
    caplog.clear()
    pipeline.compare(plain, spec)
    forget_corpora()
    pipeline.evaluate(specify(own, model, 3, limit=5))
    assert caplog.text == ""


def damage(kind: str) -> None:
    forget_corpora()
    paths = list((Store().root / kind).glob("*.safetensors"))
    assert paths
    for path in paths:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


# Which corpus a result is about


def test_resolve_fills_in_the_content(corpus: str) -> None:
    spec = specify(corpus, bits=3)
    resolved = pipeline.resolve(spec)
    named = resolved.variant.run.corpus
    assert named == CorpusSpec(name=corpus, content=pipeline.load(CorpusSpec(name=corpus)).fingerprint)
    assert pipeline.resolve(resolved) == resolved
    assert resolved.variant.recipe == spec.variant.recipe


def test_a_changed_file_is_another_corpus(own: str, calls: Counter[str]) -> None:
    spec = specify(own, bits=3)
    first = pipeline.evaluate(spec)
    stale = pipeline.resolve(spec)
    write_corpus(Path(own), seed=1)
    assert pipeline.find(spec) is None
    calls.clear()
    second = pipeline.evaluate(spec)
    assert second["key"] != first["key"]
    pipeline.build_variant(spec.variant)
    assert (calls["train"], calls["quantize"]) == (1, 1)
    write_corpus(Path(own))
    assert pipeline.find(spec) == pipeline.find(stale) == first | {"source": "store"}


def test_what_was_specified_for_another_content_is_not_computed_from_this_one(own: str) -> None:
    stale = pipeline.resolve(specify(own))
    write_corpus(Path(own), seed=1)
    with pytest.raises(InputError, match=r"has changed since it was specified; specify it again$"):
        pipeline.evaluate(stale)
    assert Store().results() == []


def test_results_are_found_without_the_corpus(own: str, calls: Counter[str]) -> None:
    """By the model card; the newest of these settings, and of no others."""
    spec, plain = specify(own, bits=3), specify(own)
    by_column = CorpusSpec(name=own, text_column="text")
    other = pipeline.specify(by_column, "discriminative", run=RUN)
    rows = [pipeline.evaluate(each) for each in (spec, plain, other)]
    Path(own).unlink()
    forget_corpora()
    calls.clear()
    assert [pipeline.find(each) for each in (spec, plain, other)] == [{**row, "source": "store"} for row in rows]
    assert pipeline.evaluate(spec)["source"] == "store"
    assert pipeline.compare(plain, spec)["flips"]["n"] == rows[0]["n"]
    assert not calls
    for impossible in (specify(own, bits=4), specify(own, noise=0.1)):
        assert pipeline.find(impossible) is None
        with pytest.raises(InputError, match="does not exist"):
            pipeline.evaluate(impossible)
    with pytest.raises(InputError, match="does not exist"):
        pipeline.find(pipeline.specify(CorpusSpec(name=own, seed=5), "discriminative", run=RUN))


def test_a_file_that_became_faulty_is_an_error_whatever_the_store_holds(own: str) -> None:
    pipeline.evaluate(specify(own))
    Path(own).write_text("text,label\nonly one row,grain\n")
    with pytest.raises(InputError, match="every row has the label 'grain'"):
        pipeline.find(specify(own))
