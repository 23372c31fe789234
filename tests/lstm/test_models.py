"""The factored scorer against one pass per class and document; pooling and padding against plain loops."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from models import token_losses
from torch import Tensor
from torch.nn.functional import cross_entropy

from core.config import ModelSpec
from core.lstm import models
from core.lstm.models import Classifier, DiscriminativeLSTM, GenerativeLSTM, next_tokens, pool
from core.text.tokens import BOS, EOS, PAD, Batch

V, C = 300, 5
LENGTHS = (9, 2, 14, 3, 9, 6)


@pytest.fixture(autouse=True)
def _plain_torch() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def make_batch(lengths: tuple[int, ...] = LENGTHS, extra: int = 0) -> Batch:
    """Random documents `<bos> words <eos>`, `extra` columns of padding beyond the longest."""
    generator = np.random.default_rng(1)
    ids = np.full((len(lengths), max(lengths) + extra), PAD)
    for row, length in enumerate(lengths):
        ids[row, :length] = [BOS, *generator.integers(4, V, length - 2), EOS]
    labels = generator.integers(0, C, len(lengths))
    arrays = (ids, np.array(lengths), labels, np.arange(len(lengths)))
    return Batch(*(torch.from_numpy(array) for array in arrays))


def document(batch: Batch, row: int) -> Batch:
    """One document alone, without padding."""
    one = slice(row, row + 1)
    ids = batch.ids[one, : int(batch.lengths[row])]
    return Batch(ids, batch.lengths[one], batch.labels[one], batch.index[one])


def model_of(kind: str, scale: float = 1.0, **changes: Any) -> Classifier:
    spec = ModelSpec.model_validate({"kind": kind, "embedding_dim": 12, "hidden_dim": 10, "label_dim": 7} | changes)
    model = models.build(spec, V, C).eval()
    model.head.weight.mul_(scale)
    return model


def generative(scale: float = 1.0, **changes: Any) -> GenerativeLSTM:
    model = model_of("generative", scale, **changes)
    assert isinstance(model, GenerativeLSTM)
    return model


def discriminative(**changes: Any) -> DiscriminativeLSTM:
    model = model_of("discriminative", **changes)
    assert isinstance(model, DiscriminativeLSTM)
    return model


def factored(model: GenerativeLSTM, batch: Batch) -> Tensor:
    """Document losses under each class (B, C) from the factored token losses."""
    states, targets, rows = next_tokens(model.hidden(batch.ids), batch)
    tokens = token_losses(states, model.label_embedding.weight, model.head.weight, model.head.bias, targets)
    return torch.zeros(len(batch.ids), C).index_add_(0, rows, tokens)


def class_by_class(model: GenerativeLSTM, batch: Batch) -> Tensor:
    """Document losses (B, C): each document alone, once per class, through the whole head."""
    losses = torch.zeros(len(batch.ids), C)
    for row in range(len(batch.ids)):
        ids = document(batch, row).ids
        states = model.hidden(ids)[0, :-1]
        for label in range(C):
            features = torch.cat([states, model.label_embedding.weight[label].expand(len(states), -1)], dim=1)
            losses[row, label] = cross_entropy(model.head(features), ids[0, 1:], reduction="sum")
    return losses


# Generative scores


@pytest.mark.parametrize("scale", [1, 3, 10])
def test_factored_scores_equal_one_pass_per_class(scale: float) -> None:
    model, batch = generative(scale), make_batch()
    scores, expected = factored(model, batch), class_by_class(model, batch)
    assert (scores - expected).abs().max() < 1e-4
    assert torch.equal(scores.argmin(dim=1), expected.argmin(dim=1))


@pytest.mark.parametrize("scale", [30, 300])
def test_factored_scores_stay_exact_for_extreme_logits(scale: float) -> None:
    model, batch = generative(scale), make_batch()
    scores, expected = factored(model, batch), class_by_class(model, batch)
    assert expected.max() > 500
    torch.testing.assert_close(scores, expected, rtol=1e-6, atol=1e-3)
    assert torch.equal(scores.argmin(dim=1), expected.argmin(dim=1))


# Padding


def test_next_tokens_are_each_documents_own_in_text_order() -> None:
    batch = make_batch()
    hidden = torch.randn(len(LENGTHS), max(LENGTHS), 4)
    expected = [
        (hidden[row, step], batch.ids[row, step + 1], row)
        for row, length in enumerate(LENGTHS)
        for step in range(length - 1)
    ]
    states, targets, rows = next_tokens(hidden, batch)
    assert torch.equal(states, torch.stack([state for state, _, _ in expected]))
    assert targets.tolist() == [int(target) for _, target, _ in expected]
    assert rows.tolist() == [row for _, _, row in expected]
    assert targets[rows.diff(append=torch.tensor([-1])) != 0].eq(EOS).all()


def test_more_padding_changes_nothing() -> None:
    batch, wide = make_batch(), make_batch(extra=11)
    model = generative()
    for narrow_part, wide_part in zip(
        next_tokens(model.hidden(batch.ids), batch), next_tokens(model.hidden(wide.ids), wide), strict=True
    ):
        torch.testing.assert_close(wide_part, narrow_part)
    torch.testing.assert_close(model.loss(wide), model.loss(batch))


@pytest.mark.parametrize("kind", ["generative", "discriminative"])
def test_hidden_states_of_a_document_do_not_depend_on_its_batch(kind: str) -> None:
    model, batch = model_of(kind), make_batch()
    hidden = model.hidden(batch.ids)
    assert hidden.shape == (len(LENGTHS), max(LENGTHS), 10)
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(hidden[row, :length], model.hidden(document(batch, row).ids)[0])


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_pooling_sees_real_states_alone(pooling: str) -> None:
    batch, hidden = make_batch(extra=3), torch.randn(len(LENGTHS), max(LENGTHS) + 3, 4)
    pooled = pool(hidden, batch, pooling)
    for row, length in enumerate(LENGTHS):
        states = [hidden[row, step] for step in range(length)]
        expected = states[-1] if pooling == "last" else sum(states[1:], states[0]) / length
        torch.testing.assert_close(pooled[row], expected)
    noisy = torch.where(batch.mask[..., None], hidden, 1e6)
    assert torch.equal(pool(noisy, batch, pooling), pooled)


# Classifiers


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_discriminative_logits_and_loss_equal_a_slow_loop(pooling: str) -> None:
    model, batch = discriminative(pooling=pooling), make_batch()
    total = 0.0
    for row, length in enumerate(LENGTHS):
        states = model.hidden(document(batch, row).ids)[0]
        pooled = states[length - 1] if pooling == "last" else states.mean(dim=0)
        logits = model.head.weight @ pooled + model.head.bias
        torch.testing.assert_close(model(batch)[row], logits)
        total += float(logits.logsumexp(dim=0) - logits[batch.labels[row]])
    loss, count = model.loss(batch)
    assert loss.item() == pytest.approx(total, rel=1e-5)
    assert count == len(LENGTHS)


def test_generative_loss_equals_a_slow_loop() -> None:
    model, batch = generative(), make_batch()
    total, tokens = 0.0, 0
    for row, length in enumerate(LENGTHS):
        states = model.hidden(document(batch, row).ids)[0]
        label = model.label_embedding.weight[batch.labels[row]]
        for step in range(length - 1):
            logits = model.head.weight @ torch.cat([states[step], label]) + model.head.bias
            total += float(logits.logsumexp(dim=0) - logits[batch.ids[row, step + 1]])
            tokens += 1
    loss, count = model.loss(batch)
    assert loss.item() == pytest.approx(total, rel=1e-5)
    assert count == tokens


def test_the_training_loss_is_the_score_of_the_true_class() -> None:
    model, batch = generative(), make_batch()
    scores = factored(model, batch)[torch.arange(len(LENGTHS)), batch.labels]
    torch.testing.assert_close(scores.sum(), model.loss(batch)[0])


@pytest.mark.parametrize("kind", ["generative", "discriminative"])
def test_dropout_acts_while_training_only(kind: str) -> None:
    model, batch = model_of(kind, dropout=0.5), make_batch()
    assert torch.equal(model.loss(batch)[0], model.loss(batch)[0])
    model.train()
    assert not torch.equal(model.loss(batch)[0], model.loss(batch)[0])


@pytest.mark.parametrize("kind", ["generative", "discriminative"])
def test_initial_weights_come_from_the_global_generator(kind: str) -> None:
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(model_of(kind).state_dict())
    assert all(torch.equal(weights[1][name], tensor) for name, tensor in weights[0].items())
    assert not torch.equal(weights[2]["head.weight"], weights[0]["head.weight"])


@pytest.mark.parametrize(("kind", "head"), [("generative", (V, 10 + 7)), ("discriminative", (C, 10))])
def test_built_models_have_the_papers_shapes(kind: str, head: tuple[int, int]) -> None:
    model = model_of(kind)
    assert model.embedding.weight.shape == (V, 12)
    assert model.lstm.weight_ih_l0.shape == (4 * 10, 12)
    assert model.lstm.weight_hh_l0.shape == (4 * 10, 10)
    assert model.head.weight.shape == head
    assert model.embedding.weight[PAD].eq(0).all()
    assert isinstance(model, GenerativeLSTM) == (kind == "generative")
    if isinstance(model, GenerativeLSTM):
        assert model.label_embedding.weight.shape == (C, 7)
