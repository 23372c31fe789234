"""The main path on a small file: what a specification names, and what a result is about."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tiny import CLASSES, RUN, rows_of, specify, write_rows

from core import pipeline
from core.config import (
    MODEL_KINDS,
    Bits,
    CalibrationSpec,
    CorpusSpec,
    EvaluationSpec,
    ModelKind,
    NoiseSpec,
    Recipe,
    VariantSpec,
)
from core.display import live
from core.errors import InputError
from core.lstm import training
from core.lstm.fitting import EpochReport
from core.measurement import results
from core.quantization import ptq, ranges
from core.quantization.brevitas_models import BrevitasTwin
from core.storage.store import Store
from core.text import noise
from core.text.corpora import Documents, read_test_file


def outcome_of(spec: EvaluationSpec) -> dict[str, np.ndarray]:
    """The arrays of a result."""
    found = results.load_outcome(Store(), pipeline.evaluate(spec)["key"])
    assert found is not None
    return found


# What a specification names


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 2}, "bits=2 is out of range; choose 3 to 8, or 32 for float"),
        ({"bits": 9}, "bits=9 is out of range; choose 3 to 8, or 32 for float"),
        ({"noise": 0.5}, "noise=0.5 is out of range; choose 0 to 0.1"),
        ({"noise": -0.01}, "noise=-0.01 is out of range; choose 0 to 0.1"),
        ({"noise": float("nan")}, "finite number"),
        ({"preset": "paper"}, "preset 'paper' is not known; choose one of: uniform, paper-code"),
        ({"head": "gptq"}, "Input should be 'round', 'gpfq' or 'gpfq-stock'"),
        ({"ranges": "max"}, "Input should be 'percentile', 'minmax' or 'fitted'"),
        ({"calibration": "stratified"}, "'conditional', 'unconditional', 'classes' or 'mix'"),
        ({"calibration": "classes:"}, "scheme 'classes' needs class names"),
        ({"calibration": "mix:a=x"}, "valid number"),
        ({"model": "transformer"}, "model 'transformer' is not known; choose one of: generative, discriminative"),
        ({"graph": "onnx"}, "Input should be 'engine' or 'brevitas'"),
        ({"bits": 4, "graph": "brevitas"}, "graph 'brevitas' is for the float model"),
        ({"limit": 0}, "greater than or equal to 1"),
        ({"run": {"epochs": 3}}, "Extra inputs are not permitted"),
        ({"percentiles": 99.0}, "Extra inputs are not permitted"),
    ],
)
@pytest.mark.parametrize("bits", [32, 4])
def test_specify_refuses_what_is_no_setting(settings: dict[str, Any], message: str, bits: int) -> None:
    with pytest.raises((InputError, ValidationError)) as refusal:
        pipeline.specify(**{"corpus": "news.csv", "model": "generative", "bits": bits, **settings})
    assert message in str(refusal.value)


def test_specify_puts_every_word_where_it_belongs() -> None:
    spec = pipeline.specify(
        "news.csv",
        "generative",
        3,
        "paper-code",
        calibration="mix:a=2,b=1",
        noise=0.05,
        seed=4,
        run={"seed": 9, "max_epochs": 2},
        limit=7,
        head="round",
        ranges="percentile",
        percentile=99.0,
    )
    assert spec.variant.recipe == Recipe.preset("paper-code", 3, head="round", ranges="percentile", percentile=99.0)
    assert spec.variant.calibration == CalibrationSpec(scheme="mix", mix=(("a", 2.0), ("b", 1.0)), seed=4)
    assert (spec.noise.level, spec.noise.seed, spec.limit) == (0.05, 4, 7)
    assert (spec.variant.run.train.seed, spec.variant.run.train.max_epochs) == (9, 2)
    assert pipeline.specify("a.csv", "generative", seed=1) == pipeline.specify("a.csv", "generative", seed=2)


# What a result is about


@pytest.mark.parametrize("model", MODEL_KINDS)
def test_float_brevitas_and_quantized_are_three_rows(corpus: str, model: ModelKind) -> None:
    plain, ported, quantized = rows = [
        pipeline.evaluate(specify(corpus, model, **settings)) for settings in ({}, {"graph": "brevitas"}, {"bits": 3})
    ]
    assert len({row["key"] for row in rows}) == 3
    assert [row["preset"] for row in rows] == ["float", "float-in-brevitas", "uniform"]
    assert ported["correct"] == plain["correct"]
    assert ported["lstm_variance"] == pytest.approx(plain["lstm_variance"], rel=1e-4)
    assert pipeline.compare(specify(corpus, model), specify(corpus, model, graph="brevitas"))["kl"] < 1e-5
    sites = {"head weights", "embedding", "lstm", "head"}
    assert (plain["detail"]["ks"], set(quantized["detail"]["ks"])) == ({}, sites)
    densities = {"token_losses", "difference"} if model == "generative" else set()
    assert set(quantized["detail"]["densities"]) == densities


def test_the_row_of_brevitas_is_made_by_brevitas(corpus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(twin: BrevitasTwin, batch: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(BrevitasTwin, "score", refuse)
    assert pipeline.evaluate(specify(corpus, limit=3))["n"] == 3
    with pytest.raises(NotImplementedError):
        pipeline.evaluate(specify(corpus, limit=3, graph="brevitas"))


def test_a_prior_is_the_share_of_training_documents(own: str) -> None:
    write_rows(Path(own), rows_of(30) + [row for row in rows_of(60, seed=1) if row[1] == "grain"])
    run = specify(own, "generative").variant.run
    models = (run.model.model_copy(update={"prior": prior}) for prior in ("uniform", "empirical"))
    variants = [VariantSpec(run=run.model_copy(update={"model": model})) for model in models]
    uniform, found = (outcome_of(EvaluationSpec(variant=variant))["log_probabilities"] for variant in variants)
    loaded = pipeline.load(CorpusSpec(name=own))
    counts = np.bincount(loaded.train.labels)
    assert counts.tolist() == [58, 19, 19]
    expected = np.exp(uniform) * counts
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(found), expected, atol=5e-3)
    read = [live.read(text, [variants[1]])[0] for text in loaded.test.texts]
    predicted = [list(row["probabilities"].values()) for row in read]
    np.testing.assert_allclose(predicted, expected, atol=5e-3)


def test_noise_and_limit_are_of_the_same_documents(corpus: str) -> None:
    specs = {(level, limit): specify(corpus, noise=level, limit=limit) for level in (0.0, 0.1) for limit in (None, 10)}
    rows = {key: pipeline.evaluate(spec) for key, spec in specs.items()}
    assert [row["n"] for row in rows.values()] == [24, 10, 24, 10]
    rates = {key: row["detail"]["noise"] for key, row in rows.items()}
    loaded = pipeline.load(CorpusSpec(name=corpus))
    letters = noise.alphabet(loaded.train.texts)
    for (level, limit), found in rates.items():
        noisy = noise.corrupt(loaded.test.texts[:limit], NoiseSpec(level=level), letters)
        assert found["character_rate"] == noisy.character_rate
        if not level:
            assert found["mean_length"] == pytest.approx(np.mean([len(t.split()) + 2 for t in noisy.texts]))
            assert found["truncation_rate"] == 0
    assert rates[0.1, None]["oov_rate"] > rates[0.0, None]["oov_rate"]
    assert rates[0.1, None]["character_rate"] > 0.05


def test_a_file_of_the_users_is_evaluated_and_remembered(corpus: str, tmp_path: Path, calls: Counter[str]) -> None:
    test = pipeline.load(CorpusSpec(name=corpus)).test
    copied = write_rows(tmp_path / "a.csv", [(t, CLASSES[i]) for t, i in zip(test.texts, test.labels, strict=True)])
    mine = write_rows(tmp_path / "b.csv", rows_of(5, seed=3))
    spec = specify(corpus, bits=3)
    plain = pipeline.evaluate(spec)
    same, other = (pipeline.evaluate(spec, documents=read_test_file(path, CLASSES)) for path in (copied, mine))
    assert [row["split"] for row in (plain, same, other)] == ["test", "file", "file"]
    assert len({row["key"] for row in (plain, same, other)}) == 3
    assert same["detail"]["confusion"] == plain["detail"]["confusion"]
    assert other["n"] == 15
    calls.clear()
    assert pipeline.evaluate(spec, documents=read_test_file(mine, CLASSES))["source"] == "store"
    assert not calls
    named = spec.model_copy(update={"documents": read_test_file(mine, CLASSES).fingerprint})
    assert pipeline.evaluate(named)["key"] == other["key"]


def test_documents_that_are_not_there_are_asked_for(corpus: str, calls: Counter[str]) -> None:
    spec = specify(corpus, bits=7)
    with pytest.raises(InputError, match="this result is about a file of labelled documents; give the file again"):
        pipeline.evaluate(spec.model_copy(update={"documents": "0123456789abcdef"}))
    with pytest.raises(InputError, match="there is no document to evaluate; give one or more"):
        pipeline.evaluate(spec, documents=Documents([], np.zeros(0, np.int64)))
    assert not calls


def test_a_text_without_a_word_can_be_evaluated(corpus: str) -> None:
    """A generative model predicts one token of it, <eos>: too few for a density."""
    documents = Documents(["!!!"], np.array([1]))
    row = pipeline.evaluate(specify(corpus, "generative", 3), documents=documents)
    assert (row["n"], row["detail"]["densities"]) == (1, {})


# Comparing


def test_compare_counts_what_changed(corpus: str) -> None:
    a, b = specify(corpus), specify(corpus, bits=3, calibration="classes:grain")
    found, first, second = pipeline.compare(a, b), outcome_of(a), outcome_of(b)
    was, is_ = (outcome["predictions"] == outcome["labels"] for outcome in (first, second))
    gained, lost = int((is_ & ~was).sum()), int((was & ~is_).sum())
    assert (found["mcnemar"]["b"], found["mcnemar"]["c"]) == (lost, gained)
    assert (found["flips"]["right_to_wrong"], found["flips"]["wrong_to_right"]) == (lost, gained)
    assert found["difference"]["difference"] == pytest.approx((gained - lost) / 24)
    p, q = first["log_probabilities"], second["log_probabilities"]
    assert found["kl"] == pytest.approx((np.exp(p) * (p - q)).sum(axis=1).mean(), abs=1e-6)
    assert found["kl"] > 0
    same = pipeline.compare(a, a)
    assert (same["kl"], same["mcnemar"]["pvalue"], same["flips"]["right_to_wrong"]) == (0, 1, 0)


def test_results_on_other_documents_are_not_compared(corpus: str, tmp_path: Path) -> None:
    """Texts of another file with equal labels are other documents too."""
    other = write_rows(tmp_path / "other.csv", [(f"{text} fell", label) for text, label in rows_of(40)])
    spec = specify(corpus)
    validation = spec.model_copy(update={"split": "validation"})
    for different in (specify(corpus, limit=10), specify(other), validation):
        with pytest.raises(InputError, match="different documents; compare results of one corpus, split and limit"):
            pipeline.compare(spec, different)
    assert pipeline.compare(spec, specify(corpus, noise=0.1))["flips"]["n"] == 24
    assert pipeline.compare(spec, specify(corpus, "generative"))["flips"]["n"] == 24


def test_progress_is_told_of_every_stage(own: str) -> None:
    stages: dict[str, list[float]] = {}
    epochs: list[EpochReport] = []

    def stage(name: str, done: float, total: float) -> None:
        stages.setdefault(name, []).append(done / total)

    progress = pipeline.Progress(stage, epochs.append)
    pipeline.evaluate(specify(own, bits=3, head="gpfq", ranges="fitted"), progress)
    assert set(stages) == {"train", "calibrate", "fit", "gpfq", "evaluate"}
    assert {name: shares[-1] for name, shares in stages.items()} == dict.fromkeys(stages, 1.0)
    assert [report.epoch for report in epochs] == [0, 1]


def test_a_model_card_tells_how_a_model_was_trained(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch that diverged has no loss that JSON could hold."""
    train = training.train

    def diverging(*arguments: Any) -> training.TrainedModel:
        trained = train(*arguments)
        last = replace(trained.history[-1], validation_loss=float("nan"), best=False)
        return replace(trained, history=(*trained.history[:-1], last))

    monkeypatch.setattr(training, "train", diverging)
    run = pipeline.resolve(specify(own, run={**RUN, "limit": 5000, "seed": 3})).variant.run
    pipeline.build_model(run)
    card = Store().find_model_card(run.fingerprint())
    assert card is not None
    assert (card["n_train"], card["seed"], card["model"]) == (78, 3, "discriminative")
    assert [epoch["validation_loss"] is None for epoch in card["history"]["epochs"]] == [False, True]
    json.dumps(card, allow_nan=False)


def test_a_variant_can_have_bits_of_its_own(corpus: str) -> None:
    quantized = specify(corpus, bits=8).variant
    assert quantized.recipe is not None
    bits = quantized.recipe.bits.model_copy(update={"lstm_cell_state": 3})
    recipe = quantized.recipe.model_copy(update={"bits": Bits.model_validate(bits.model_dump())})
    row = pipeline.evaluate(EvaluationSpec(variant=quantized.model_copy(update={"recipe": recipe})))
    assert (row["preset"], row["bits"]) == ("custom", 8)
    levels = {site["site"]: site["levels"] for site in row["detail"]["calibration"]["sites"]}
    assert (levels["cell_state"], levels["hidden_state"]) == (8, 256)


def test_recipes_with_the_same_weights_share_what_calibration_saw(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe, calls = ranges.observe, Counter[str]()

    def counted(*given: Any) -> dict[str, ranges.Magnitudes]:
        calls["observe"] += 1
        return observe(*given)

    monkeypatch.setattr(ranges, "observe", counted)
    specs = [
        specify(corpus, bits=bits, preset=preset, ranges=rule, calibration=calibration).variant
        for calibration in ("conditional", "unconditional")
        for bits in (5, 4)
        for preset, rule in (("uniform", "percentile"), ("paper-code", "minmax"))
    ]
    shared = [pipeline.build_variant(spec)[1] for spec in specs]
    assert calls["observe"] == 4
    monkeypatch.setenv("BITDIAL_CACHE", str(tmp_path))
    ptq._last_seen.clear()
    for spec, report in reversed(list(zip(specs, shared, strict=True))):
        assert pipeline.build_variant(spec)[1] == report
