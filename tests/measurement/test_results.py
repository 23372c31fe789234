"""From an outcome to the store and back: the row's columns, the arrays' precision, what is written first."""

import json
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from models import documents, tiny

from core.config import (
    BIT_WIDTHS,
    PRESETS,
    Bits,
    CalibrationSpec,
    CorpusSpec,
    EvaluationSpec,
    ModelKind,
    NoiseSpec,
    Preset,
    Recipe,
    VariantSpec,
    default_run,
)
from core.measurement import evaluation, results, stats
from core.measurement.evaluation import Evaluation
from core.quantization import engine
from core.storage.database import EVALUATIONS
from core.storage.store import Store

pytestmark = pytest.mark.usefixtures("tmp_cache")

NAMES = ("ash", "bay", "elm")
DETAIL: dict[str, Any] = {"noise": {"oov_rate": 0.25}, "densities": {}, "ks": {}}


def spec_of(kind: ModelKind = "generative", variant: dict[str, Any] | None = None, **changes: Any) -> EvaluationSpec:
    run = default_run(CorpusSpec(name="made up", content="c0ffee"), kind, seed=7)
    return EvaluationSpec(variant=VariantSpec(run=run, **(variant or {})), **changes)


def quantized(**recipe: Any) -> dict[str, Any]:
    mix = CalibrationSpec.parse("mix:ash=2,bay=1", seed=5)
    return {"recipe": Recipe.preset("uniform", 3, **recipe), "calibration": mix}


def outcome_of(kind: ModelKind = "generative") -> Evaluation:
    return evaluation.evaluate(engine.from_float(tiny(kind)), documents(20))


def saved(spec: EvaluationSpec, outcome: Evaluation) -> dict[str, Any]:
    row = results.make_row(spec, outcome, NAMES, DETAIL)
    results.save(Store(), spec, outcome, row)
    return row


# Names of recipes


@pytest.mark.parametrize("bits", BIT_WIDTHS)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_recognised_by_its_bits(preset: Preset, bits: int) -> None:
    recipe = Recipe.preset(preset, bits, head="round", ranges="minmax", head_scales="two")
    same_at_8_bits = preset if bits < 8 else "uniform"
    assert results.preset_name(recipe) == (same_at_8_bits, bits)


def test_the_presets_are_one_at_8_bits() -> None:
    assert Recipe.preset("uniform", 8) == Recipe.preset("paper-code", 8)


@pytest.mark.parametrize("site", Bits.model_fields)
def test_one_other_site_makes_a_recipe_custom(site: str) -> None:
    bits = Recipe.preset("uniform", 4).bits.model_copy(update={site: 6})
    assert results.preset_name(Recipe(bits=bits)) == ("custom", 6 if site == "head_weight" else 4)


def test_two_bits_are_custom_and_no_recipe_is_float() -> None:
    two = Recipe(bits=Bits(**dict.fromkeys(Bits.model_fields, 2)))
    assert results.preset_name(two) == ("custom", 2)
    assert results.preset_name(None) == ("float", 32)


# The row

FLOAT_COLUMNS: dict[str, Any] = {
    "bits": 32,
    "head": None,
    "ranges": None,
    "calibration": None,
    "calibration_seed": None,
}
ROWS: dict[str, tuple[EvaluationSpec, dict[str, Any]]] = {
    "float": (spec_of(), FLOAT_COLUMNS | {"preset": "float", "split": "test", "test_limit": None, "noise": 0.0}),
    "brevitas": (spec_of(variant={"graph": "brevitas"}), FLOAT_COLUMNS | {"preset": "float-in-brevitas"}),
    "quantized": (
        spec_of(variant=quantized(head="round", ranges="minmax")),
        {"bits": 3, "preset": "uniform", "head": "round", "ranges": "minmax", "calibration_seed": 5}
        | {"calibration": "mix:ash=2.0,bay=1.0"},
    ),
    "noisy prefix": (
        spec_of(noise=NoiseSpec(level=0.05, seed=3), limit=9),
        {"noise": 0.05, "noise_seed": 3, "test_limit": 9, "split": "test"},
    ),
    "a file": (spec_of(documents="0123456789abcdef"), {"split": "file"}),
    "validation": (spec_of(split="validation"), {"split": "validation"}),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_what_was_evaluated(name: str) -> None:
    spec, expected = ROWS[name]
    row = results.make_row(spec, outcome_of(), NAMES, DETAIL)
    common: dict[str, Any] = {"key": spec.fingerprint(), "corpus": "made up", "model": "generative", "seed": 7, "n": 20}
    assert {column: row[column] for column in (common | expected)} == common | expected
    assert EvaluationSpec.model_validate(row["spec"]) == spec


@pytest.mark.parametrize("kind", ["generative", "discriminative"])
def test_a_row_fills_the_columns_of_the_store_and_is_strict_json(kind: ModelKind) -> None:
    outcome = outcome_of(kind)
    row = results.make_row(spec_of(kind), outcome, NAMES, DETAIL)
    assert set(EVALUATIONS.c.keys()) - set(row) == {"seconds", "created"}
    assert set(row) <= set(EVALUATIONS.c.keys())
    summary = evaluation.summary(outcome, NAMES)
    assert summary.items() <= {**row["detail"], **row}.items()
    assert {"class_names": list(NAMES), **DETAIL}.items() <= row["detail"].items()
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_the_store_gives_the_row_back() -> None:
    row = saved(spec_of(variant=quantized()), outcome_of())
    found = Store().find_result(row["key"])
    assert found is not None
    assert {column: found[column] for column in row} == row


# The arrays


@pytest.mark.parametrize("kind", ["generative", "discriminative"])
def test_an_outcome_comes_back(kind: ModelKind) -> None:
    outcome = outcome_of(kind)
    key = saved(spec_of(kind), outcome)["key"]
    found = results.load_outcome(Store(), key)
    assert found is not None
    assert found["predictions"].tolist() == outcome.predictions.tolist()
    assert found["labels"].tolist() == outcome.labels.tolist()
    exact = outcome.log_probabilities
    precision = 2.0**-11 * (np.abs(exact) + np.abs(exact).max(axis=1, keepdims=True))
    assert (np.abs(found["log_probabilities"] - exact) <= precision).all()
    np.testing.assert_allclose(np.exp(found["log_probabilities"]).sum(axis=1), 1, rtol=1e-6)
    assert found["log_probabilities"].argmax(axis=1).tolist() == outcome.predictions.tolist()


@pytest.mark.parametrize(("classes", "kept"), [(2, torch.uint8), (256, torch.uint8), (257, torch.int16)])
def test_an_outcome_lies_small_on_disk(classes: int, kept: torch.dtype) -> None:
    labels = np.arange(classes)
    outcome = Evaluation(np.eye(classes, dtype=np.float32), labels[::-1].copy(), labels, None, 0.0)
    results.save(Store(), spec_of(), outcome, results.make_row(spec_of(), outcome, tuple(map(str, labels)), DETAIL))
    tensors, _ = Store().load_tensors("evaluations", spec_of().fingerprint()) or pytest.fail("nothing was saved")
    types = {name: tensor.dtype for name, tensor in tensors.items()}
    assert types == {"predictions": kept, "labels": kept, "log_probabilities": torch.float16}
    found = results.load_outcome(Store(), spec_of().fingerprint())
    assert found is not None
    assert (found["labels"].tolist(), found["predictions"].tolist()) == (labels.tolist(), labels[::-1].tolist())


@pytest.mark.parametrize("classes", [2, 64, 200])
def test_half_precision_keeps_equal_probabilities_a_distribution(classes: int) -> None:
    labels = np.arange(classes)
    outcome = Evaluation(np.zeros((classes, classes), np.float32), labels * 0, labels, None, 0.0)
    results.save(Store(), spec_of(), outcome, results.make_row(spec_of(), outcome, tuple(map(str, labels)), DETAIL))
    found = results.load_outcome(Store(), spec_of().fingerprint())
    assert found is not None
    logs = found["log_probabilities"]
    np.testing.assert_allclose(scipy.special.logsumexp(logs, axis=1), 0, atol=1e-6)
    assert stats.kl_divergence(logs, outcome.log_probabilities) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "variant", "kept"),
    [("generative", None, True), ("generative", quantized(), False), ("discriminative", None, False)],
)
def test_token_losses_are_kept_where_differences_are_taken_from(
    kind: ModelKind, variant: dict[str, Any] | None, kept: bool
) -> None:
    outcome = outcome_of(kind)
    key = saved(spec_of(kind, variant), outcome)["key"]
    found = results.load_token_losses(Store(), key)
    assert (None if found is None else found.tolist()) == (
        outcome.token_losses.tolist() if kept and outcome.token_losses is not None else None
    )


def test_nothing_is_found_where_nothing_was_saved() -> None:
    key = spec_of().fingerprint()
    assert (results.load_outcome(Store(), key), results.load_token_losses(Store(), key)) == (None, None)


# What a crash leaves


class CrashError(Exception):
    pass


@pytest.mark.parametrize("step", ["evaluations", "token_losses", "row"])
def test_a_crash_while_saving_leaves_no_row(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is written last: whoever finds one finds its arrays too."""
    save_tensors = Store.save_tensors

    def stop_at(store: Store, kind: str, *content: Any) -> object:
        if kind == step:
            raise CrashError
        return save_tensors(store, kind, *content)

    def stop(store: Store, row: object) -> None:
        raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(Store, "save_tensors", stop_at)
        if step == "row":
            patch.setattr(Store, "save_result", stop)
        with pytest.raises(CrashError):
            saved(spec_of(), outcome_of())
    assert Store().results() == []
    row = saved(spec_of(), outcome_of())
    assert [found["key"] for found in Store().results()] == [row["key"]]
