"""One typed text under many variants: the same as evaluating it, and what a reader is shown beside it."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tiny import CLASSES, computations, specify

from core import pipeline
from core.config import MODEL_KINDS, CorpusSpec, ModelKind
from core.display import live
from core.measurement import results
from core.storage.store import Store
from core.text import tokens

WIDTHS = (32, 8, 3)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("model", MODEL_KINDS)
def test_a_reading_is_that_of_the_evaluation(corpus: str, model: ModelKind, bits: int) -> None:
    spec = specify(corpus, model, bits)
    texts = pipeline.load(CorpusSpec(name=corpus)).test.texts
    found = [live.read(text, [spec.variant])[0] for text in texts]
    stored = results.load_outcome(Store(), pipeline.evaluate(spec)["key"])
    assert stored is not None
    assert [row["label"] for row in found] == [CLASSES[label] for label in stored["predictions"]]
    shares = np.array([[row["probabilities"][name] for name in CLASSES] for row in found])
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-9)
    np.testing.assert_allclose(shares, np.exp(stored["log_probabilities"]), atol=2e-3)
    ordered = np.sort(np.log(shares), axis=1)
    np.testing.assert_allclose([row["margin"] for row in found], ordered[:, -1] - ordered[:, -2], rtol=1e-9)


def test_variants_read_together_say_what_each_says_alone(corpus: str) -> None:
    specs = [specify(corpus, model, bits).variant for model in MODEL_KINDS for bits in WIDTHS]
    together = live.read("wheat harvest of the bank", specs)
    assert together == [live.read("wheat harvest of the bank", [spec])[0] for spec in specs]
    assert live.read("wheat", []) == []


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("wheat harvest", [True, True]),
        ("wheat qqqq", [True, False]),
        ("qqqq zzzz", [False, False]),
        ("!!!", []),
        ("", []),
    ],
)
def test_unknown_words_are_marked_and_counted(corpus: str, text: str, known: list[bool]) -> None:
    (row,) = live.read(text, [specify(corpus).variant])
    assert row["known"] == known
    assert row["oov"] == (known.count(False) / len(known) if known else 0)
    assert sum(row["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("bits", WIDTHS)
def test_surprisals_differ_by_what_decides_between_winner_and_runner_up(corpus: str, bits: int) -> None:
    variant = specify(corpus, "generative", bits).variant
    (row,) = live.read("wheat corn bank", [variant])
    first, second = row["surprisals"].items()
    assert first[0] == row["label"]
    assert [len(values) for _, values in (first, second)] == [4, 4]
    data = pipeline.encode(variant.run.corpus, variant.run.tokens)
    prior = pipeline.log_prior(variant.run, data)
    assert prior is not None
    shift = {name: prior[CLASSES.index(name)] for name, _ in (first, second)}
    gap = (sum(second[1]) - shift[second[0]]) - (sum(first[1]) - shift[first[0]])
    assert row["margin"] == pytest.approx(gap, abs=1e-4)


def test_reading_leaves_the_number_of_threads_of_all_others_alone(corpus: str) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    live._reader.cache_clear()
    try:
        live.read("wheat", [specify(corpus, "generative").variant])
        with ThreadPoolExecutor(1) as other:
            counts = [torch.get_num_threads(), other.submit(torch.get_num_threads).result()]
        assert [*counts, live._reader().submit(torch.get_num_threads).result()] == [3, 3, 1]
    finally:
        torch.set_num_threads(before)


def test_a_discriminative_model_has_no_surprisals(corpus: str) -> None:
    assert "surprisals" not in live.read("wheat", [specify(corpus).variant])[0]


def test_a_text_is_tokenized_once_for_each_way_of_reading(corpus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [specify(corpus, model, bits).variant for model in MODEL_KINDS for bits in WIDTHS]
    live.read("wheat", specs)
    original, calls = tokens.encode, Counter[str]()

    def counted(*arguments: object) -> object:
        calls["encode"] += 1
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tokens, "encode", counted)
    work = computations(monkeypatch)
    live.read("zinc ore", specs)
    ways = {(spec.run.corpus, spec.run.tokens) for spec in specs}
    assert calls["encode"] == len(ways) == 2
    assert not work
