"""What a variant makes of documents, next to one document at a time; the numbers made of it, next to loops."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from models import CLASSES, EMBEDDING, HIDDEN, documents, grid_twin, tiny
from torch import Tensor
from torch.nn.functional import cross_entropy

from core.config import MODEL_KINDS, ModelKind, Recipe
from core.lstm.models import Classifier, GenerativeLSTM
from core.measurement import evaluation
from core.measurement.evaluation import DIFFERENCE_GRID, LOSS_GRID, Evaluation
from core.quantization import engine
from core.quantization.brevitas_models import BrevitasTwin, compile_variant
from core.quantization.engine import Variant
from core.text.tokens import Batch, Encoded, make_batch

DOCUMENTS = documents(30)
NAMES = ("ash", "bay", "elm")


@pytest.fixture(autouse=True)
def _several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(evaluation.BATCH_SIZES, "cpu", 7)


def float_evaluation(kind: ModelKind, encoded: Encoded = DOCUMENTS, **spec: Any) -> Evaluation:
    return evaluation.evaluate(engine.from_float(tiny(kind, **spec)), encoded)


def one_by_one(encoded: Encoded) -> list[Batch]:
    """Every document as its own batch, in the documents' order."""
    return [make_batch(encoded, np.array([place])) for place in range(len(encoded))]


def slow_losses(model: Classifier, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Losses (C,) of one document, and its token losses (T - 1, C) if generative, class by class, token by token."""
    ids = batch.ids[0]
    hidden = model.lstm(model.embedding(ids))[0]
    if not isinstance(model, GenerativeLSTM):
        read = hidden.mean(0) if model.spec.pooling == "mean" else hidden[-1]
        return torch.stack([cross_entropy(model.head(read), torch.tensor(label)) for label in range(CLASSES)]), None
    tokens = torch.zeros(len(ids) - 1, CLASSES)
    for label in range(CLASSES):
        for step in range(len(ids) - 1):
            state = torch.cat([hidden[step], model.label_embedding.weight[label]])
            tokens[step, label] = cross_entropy(model.head(state), ids[step + 1])
    return tokens.sum(0), tokens


def assert_equal_to_single_documents(
    found: Evaluation, single: Callable[[Batch], tuple[Tensor, Tensor | None]], encoded: Encoded = DOCUMENTS
) -> None:
    results = [single(batch) for batch in one_by_one(encoded)]
    expected = torch.stack([losses for losses, _ in results]).numpy()
    np.testing.assert_allclose(found.losses, expected, rtol=1e-4, atol=1e-4)
    assert found.predictions.tolist() == expected.argmin(1).tolist()
    assert found.labels.tolist() == encoded.labels.tolist()
    if found.token_losses is None:
        assert [tokens for _, tokens in results] == [None] * len(results)
    else:
        true = [tokens[:, label] for (_, tokens), label in zip(results, encoded.labels, strict=True)]  # type: ignore[index]
        np.testing.assert_allclose(found.token_losses, torch.cat(true).numpy(), rtol=1e-4, atol=1e-4)


# Losses


@pytest.mark.parametrize(
    ("kind", "pooling"), [("generative", "last"), ("discriminative", "last"), ("discriminative", "mean")]
)
def test_a_float_model_scores_as_one_document_at_a_time(kind: ModelKind, pooling: str) -> None:
    model = tiny(kind, pooling=pooling)
    assert_equal_to_single_documents(float_evaluation(kind, pooling=pooling), lambda batch: slow_losses(model, batch))


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("bits", [8, 3])
def test_a_quantized_model_scores_as_its_brevitas_graph_one_document_at_a_time(kind: ModelKind, bits: int) -> None:
    twin = grid_twin(kind, Recipe.preset("uniform", bits))

    def single(batch: Batch) -> tuple[Tensor, Tensor | None]:
        _, losses, tokens = twin.score(batch)
        return losses[0], tokens

    assert_equal_to_single_documents(evaluation.evaluate(compile_variant(twin), DOCUMENTS), single)


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("bits", [None, 3])
def test_brevitas_as_scorer_gives_what_the_engine_gives(kind: ModelKind, bits: int | None) -> None:
    twin = grid_twin(kind, Recipe.preset("uniform", bits)) if bits else BrevitasTwin(tiny(kind), None)
    variant, used = compile_variant(twin), []

    def score(batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        used.append(len(batch.labels))
        return twin.score(batch)

    ours, theirs = evaluation.evaluate(variant, DOCUMENTS), evaluation.evaluate(variant, DOCUMENTS, score)
    assert sum(used) == len(DOCUMENTS)
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-4, atol=1e-4)
    assert ours.predictions.tolist() == theirs.predictions.tolist()
    assert ours.lstm_variance == pytest.approx(theirs.lstm_variance, rel=1e-4)
    if kind == "generative":
        np.testing.assert_allclose(ours.token_losses, theirs.token_losses, rtol=1e-4, atol=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_documents_keep_their_order_and_do_not_touch_each_other(
    kind: ModelKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = float_evaluation(kind)
    order = np.random.default_rng(0).permutation(len(DOCUMENTS))[:11]
    monkeypatch.setitem(evaluation.BATCH_SIZES, "cpu", 512)
    np.testing.assert_allclose(float_evaluation(kind, DOCUMENTS.select(order)).losses, whole.losses[order], rtol=1e-4)


def test_token_losses_sum_to_the_loss_of_the_true_class() -> None:
    found = float_evaluation("generative")
    assert found.token_losses is not None
    ends = np.cumsum(DOCUMENTS.lengths - 1)
    assert len(found.token_losses) == ends[-1]
    sums = [found.token_losses[start:end].sum() for start, end in pairwise([0, *ends])]
    np.testing.assert_allclose(sums, found.losses[np.arange(len(DOCUMENTS)), DOCUMENTS.labels], rtol=1e-5)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_log_probabilities_are_the_softmax_of_the_losses(kind: ModelKind) -> None:
    found = float_evaluation(kind)
    expected = scipy.special.log_softmax(-found.losses.astype(np.float64), axis=1)
    np.testing.assert_allclose(found.log_probabilities, expected, rtol=1e-9)
    np.testing.assert_allclose(np.exp(found.log_probabilities).sum(1), 1, rtol=1e-9)


def test_a_prior_moves_every_loss_by_minus_its_log() -> None:
    variant, prior = engine.from_float(tiny("generative")), np.array([0.9998, 0.0001, 0.0001])
    plain = evaluation.evaluate(variant, DOCUMENTS)
    shifted = evaluation.evaluate(variant, DOCUMENTS, log_prior=np.log(prior))
    np.testing.assert_allclose(shifted.losses, plain.losses - np.log(prior), rtol=1e-6)
    assert shifted.token_losses is not None
    assert plain.token_losses is not None
    assert shifted.token_losses.tolist() == plain.token_losses.tolist()
    assert set(plain.predictions) != {0}
    assert set(shifted.predictions) == {0}


def test_progress_counts_documents() -> None:
    heard: list[tuple[int, int]] = []
    variant = engine.from_float(tiny("discriminative"))
    evaluation.evaluate(variant, DOCUMENTS, on_batch=lambda done, total: heard.append((done, total)))
    assert heard == [(7, 30), (14, 30), (21, 30), (28, 30), (30, 30)]


# A dead LSTM


@pytest.mark.parametrize(
    ("kind", "pooling"), [("generative", "last"), ("discriminative", "last"), ("discriminative", "mean")]
)
def test_lstm_variance_is_that_of_the_states_the_head_reads(kind: ModelKind, pooling: str) -> None:
    model = tiny(kind, pooling=pooling)
    states = [model.hidden(batch.ids)[0] for batch in one_by_one(DOCUMENTS)]
    if kind == "generative":
        read = torch.cat([each[:-1] for each in states])
    else:
        read = torch.stack([each.mean(0) if pooling == "mean" else each[-1] for each in states])
    expected = np.var(read.double().numpy(), axis=0).mean()
    assert float_evaluation(kind, pooling=pooling).lstm_variance == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_an_lstm_of_zeros_is_dead(kind: ModelKind) -> None:
    model = tiny(kind)
    for weight in model.lstm.parameters():
        weight.zero_()
    dead = evaluation.evaluate(engine.from_float(model), DOCUMENTS)
    flags = [evaluation.summary(found, NAMES)["dead_lstm"] for found in (dead, float_evaluation(kind))]
    assert (dead.lstm_variance, flags) == (0.0, [True, False])


# Scores


def evaluation_of(labels: np.ndarray, predictions: np.ndarray) -> Evaluation:
    return Evaluation(np.zeros((len(labels), CLASSES), np.float32), predictions, labels, None, 0.5)


def ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


@pytest.mark.parametrize("guessed", [(0, 1, 2), (0, 1), (2,)])
def test_the_summary_next_to_plain_counting(guessed: tuple[int, ...]) -> None:
    draw = np.random.default_rng(1)
    labels = draw.integers(0, CLASSES, 57)
    predictions = np.where(draw.random(57) < 0.4, labels, 0)
    predictions = np.where(np.isin(predictions, guessed), predictions, guessed[0])
    found = evaluation.summary(evaluation_of(labels, predictions), NAMES)
    pairs = list(zip(labels.tolist(), predictions.tolist(), strict=True))
    correct = sum(truth == guess for truth, guess in pairs)
    assert (found["n"], found["correct"], found["accuracy"]) == (57, correct, correct / 57)
    confusion = [[pairs.count((truth, guess)) for guess in range(CLASSES)] for truth in range(CLASSES)]
    assert found["confusion"] == confusion
    assert found["predicted"] == [sum(guess == label for _, guess in pairs) for label in range(CLASSES)]
    assert found["majority_share"] == max(sum(truth == label for truth, _ in pairs) for label in range(CLASSES)) / 57
    scores = []
    for label, name in enumerate(NAMES):
        hits = confusion[label][label]
        support, given = sum(confusion[label]), sum(row[label] for row in confusion)
        precision, recall, f1 = ratio(hits, given), ratio(hits, support), ratio(2 * hits, support + given)
        assert found["per_class"][name] == pytest.approx(
            {"precision": precision, "recall": recall, "f1": f1, "support": support}
        )
        scores.append((precision, recall, f1))
    means = [found[f"macro_{name}"] for name in ("precision", "recall", "f1")]
    assert means == pytest.approx(np.mean(scores, axis=0).tolist())


@pytest.mark.parametrize("correct", [0, 31, 57])
def test_the_interval_is_wilsons(correct: int) -> None:
    labels = np.zeros(57, np.int64)
    found = evaluation.summary(evaluation_of(labels, (np.arange(57) >= correct).astype(np.int64)), NAMES)
    z, share = 1.959963984540054, correct / 57
    middle, half = share + z**2 / 114, z * np.sqrt(share * (1 - share) / 57 + z**2 / (4 * 57**2))
    expected = [(middle - half) / (1 + z**2 / 57), (middle + half) / (1 + z**2 / 57)]
    assert [found["accuracy_low"], found["accuracy_high"]] == pytest.approx(expected, abs=1e-12)


# Densities


def mass(density: dict, grid: np.ndarray) -> float:
    assert (density["low"], density["high"], len(density["density"])) == (grid[0], grid[-1], len(grid))
    return float(np.trapezoid(density["density"], grid))


def test_loss_densities_hold_all_token_losses() -> None:
    reference, found = float_evaluation("generative"), float_evaluation("generative", seed=1)
    assert found.token_losses is not None
    assert reference.token_losses is not None
    densities = evaluation.loss_densities(found, reference.token_losses)
    change = found.token_losses - reference.token_losses
    for name, grid, values in (
        ("token_losses", LOSS_GRID, found.token_losses),
        ("difference", DIFFERENCE_GRID, change),
    ):
        assert mass(densities[name], grid) == pytest.approx(1, abs=0.01)
        facts = {"n": values.size, "median": float(np.median(values)), "maximum": float(values.max())}
        assert {fact: densities[name][fact] for fact in facts} == pytest.approx(facts)


def test_a_difference_needs_a_reference_that_differs() -> None:
    found = float_evaluation("generative")
    assert set(evaluation.loss_densities(found, found.token_losses)) == {"token_losses"}
    assert set(evaluation.loss_densities(found, None)) == {"token_losses"}


def test_a_discriminative_model_and_a_single_token_have_no_density() -> None:
    assert evaluation.loss_densities(float_evaluation("discriminative"), None) == {}
    empty_text = float_evaluation("generative", DOCUMENTS.select(np.array([1])))
    assert empty_text.token_losses is not None
    assert empty_text.token_losses.size == 1
    assert evaluation.loss_densities(empty_text, None) == {}


# Kolmogorov-Smirnov


def slow_ks(a: np.ndarray, b: np.ndarray) -> float:
    """The largest gap between two empirical distribution functions."""
    return max(abs((a <= value).mean() - (b <= value).mean()) for value in np.concatenate([a, b]))


def rough(variant: Variant) -> Variant:
    """The variant with its embedding on a coarse grid."""
    levels = torch.round(variant.embedding.levels)
    return replace(variant, embedding=replace(variant.embedding, levels=levels))


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_variant_does_not_differ_from_itself(kind: ModelKind) -> None:
    variant, sample = engine.from_float(tiny(kind)), documents(100)
    prepared = engine.prepare(variant)
    found = evaluation.compare_activations(prepared, prepared, sample)
    assert {site: result["statistic"] for site, result in found.items()} == {"embedding": 0, "lstm": 0, "head": 0}
    tokens = found["embedding"]["n"] // EMBEDDING
    assert found["lstm"]["n"] == tokens * HIDDEN
    assert tokens < sample.lengths.sum()
    assert evaluation.compare_weights(variant, variant)["statistic"] == 0


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_activations_are_compared_over_real_tokens(kind: ModelKind) -> None:
    reference = engine.from_float(tiny(kind))
    changed = rough(reference)
    both = [engine.prepare(variant) for variant in (reference, changed)]
    found = evaluation.compare_activations(both[1], both[0], DOCUMENTS)
    batches = one_by_one(DOCUMENTS)
    states = [torch.cat([engine.run_lstm(one, batch)[0] for batch in batches]).numpy().ravel() for one in both]
    embedded = [v.embedding.value[torch.from_numpy(DOCUMENTS.ids)].numpy().ravel() for v in (reference, changed)]
    assert found["embedding"]["statistic"] == pytest.approx(slow_ks(*embedded), abs=1e-9)
    assert found["lstm"]["statistic"] == pytest.approx(slow_ks(*states), abs=2 / len(states[0]))
    assert min(result["statistic"] for result in found.values()) > 0
    if kind == "discriminative":
        assert found["head"]["n"] == len(DOCUMENTS) * CLASSES


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_head_weights_of_three_bits_differ_from_float(kind: ModelKind) -> None:
    model = tiny(kind)
    reference = engine.from_float(model)
    quantized = compile_variant(BrevitasTwin(model, Recipe.preset("uniform", 3)))
    pair = [one.head.value.numpy().ravel() for one in (reference, quantized)]
    found = evaluation.compare_weights(quantized, reference)
    assert found["statistic"] == pytest.approx(slow_ks(*pair), abs=1e-9)
    assert (found["statistic"] > 0, found["n"]) == (True, pair[0].size)
