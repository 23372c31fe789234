"""How far two draws of calibration text lie apart: measured by a slow reference, kept in the store."""

from itertools import combinations

import numpy as np
import pytest
import scipy.stats
import torch
from models import EMBEDDING, documents, tiny
from tiny import specify

from core import pipeline
from core.config import MODEL_KINDS, CalibrationSpec, DistanceSpec, ModelKind
from core.measurement import evaluation
from core.quantization import engine
from core.text.tokens import Encoded, make_batch


def activations(kind: ModelKind, encoded: Encoded) -> dict[str, np.ndarray]:
    """Every real token's embedding and hidden state, one document at a time, by torch's own layers."""
    model, embedded, hidden = tiny(kind), [], []
    for place in range(len(encoded)):
        embedded.append(model.embedding(make_batch(encoded, np.array([place])).ids)[0])
        hidden.append(model.lstm(embedded[-1])[0])
    return {"embedding": torch.cat(embedded).numpy().ravel(), "lstm": torch.cat(hidden).numpy().ravel()}


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_distance_is_that_of_all_values(kind: ModelKind) -> None:
    first, second = documents(12, seed=1), documents(9, longest=4, seed=2)
    prepared = engine.prepare(engine.from_float(tiny(kind)))
    ks, curves = evaluation.compare_documents(prepared, first, second)
    pair = activations(kind, first), activations(kind, second)
    assert set(ks) == set(curves) == {"embedding", "lstm"}
    for site, result in ks.items():
        expected = scipy.stats.ks_2samp(pair[0][site], pair[1][site])
        assert (result["n"], result["m"]) == (pair[0][site].size, pair[1][site].size)
        assert result["statistic"] == pytest.approx(expected.statistic, abs=2e-3)
        grid, below_first, below_second = curves[site]
        assert curves[site].shape == (3, evaluation.ECDF_POINTS)
        both = np.concatenate([pair[0][site], pair[1][site]])
        assert (grid[0], grid[-1]) == (pytest.approx(both.min()), pytest.approx(both.max()))
        for place in (20, 100, 180):
            assert below_first[place] == pytest.approx((pair[0][site] <= grid[place]).mean(), abs=2e-3)
            assert below_second[place] == pytest.approx((pair[1][site] <= grid[place]).mean(), abs=2e-3)
        assert below_first[-1] == below_second[-1] == pytest.approx(1, abs=2e-3)


def test_equal_documents_lie_no_distance_apart() -> None:
    prepared = engine.prepare(engine.from_float(tiny("generative")))
    ks, curves = evaluation.compare_documents(prepared, documents(9), documents(9))
    assert [result["statistic"] for result in ks.values()] == [0, 0]
    assert all(np.array_equal(first, second) for _, first, second in curves.values())


def test_of_many_documents_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "CALIBRATION_DOCUMENTS", 3)
    first, second = documents(12, seed=1), documents(9, seed=2)
    ks, _ = evaluation.compare_documents(engine.prepare(engine.from_float(tiny("generative"))), first, second)
    sizes = [{EMBEDDING * sum(three) for three in combinations(one.lengths, 3)} for one in (first, second)]
    assert ks["embedding"]["n"] in sizes[0]
    assert ks["embedding"]["m"] in sizes[1]


def distance(corpus: str, draw: int = 0, second: str = "unconditional") -> DistanceSpec:
    pair = {"first": CalibrationSpec(seed=draw), "second": CalibrationSpec.parse(second, seed=draw)}
    return DistanceSpec(run=specify(corpus, "generative").variant.run, **pair)


def test_a_distance_is_measured_once_and_found_again(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = distance(own, 1)
    assert pipeline.find_distance(spec) is None
    row = pipeline.measure_distance(spec)
    assert (row["source"], row["model"], row["first"], row["second"], row["draw"], row["seed"]) == (
        "computed",
        "generative",
        "conditional",
        "unconditional",
        1,
        0,
    )
    assert row["documents"] == [20, 20]
    assert set(row["ks"]) == {"embedding", "lstm"}
    assert row["spec"]["first"]["seed"] == 1
    monkeypatch.setattr(evaluation, "compare_documents", lambda *_: pytest.fail("measured again"))
    assert pipeline.measure_distance(spec) == pipeline.find_distance(spec) == row | {"source": "store"}
    assert pipeline.distances(own) == [row | {"source": "store"}]
    assert pipeline.distances("another") == []


def test_a_distance_is_between_the_documents_of_its_draws(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[set[int]]] = []
    original = evaluation.compare_documents

    def compare(prepared: engine.Prepared, *pair: Encoded) -> object:
        seen.append([set(one.labels.tolist()) for one in pair])
        return original(prepared, *pair)

    monkeypatch.setattr(evaluation, "compare_documents", compare)
    one_class = pipeline.measure_distance(distance(own, second="classes:metal"))
    assert seen == [[{0, 1, 2}, {1}]]
    assert one_class["second"] == "classes:metal"
    same = pipeline.measure_distance(distance(own, second="conditional"))
    assert same["ks"]["embedding"]["statistic"] == 0 < one_class["ks"]["embedding"]["statistic"]
