"""The heads' losses next to plain loops in float64, on both sides of every threshold."""

from collections.abc import Callable, Iterator
from functools import cache
from math import inf, log

import pytest
import torch
from models import (
    CLASSES,
    HIDDEN,
    batch_of,
    class_losses,
    document_ids,
    documents,
    generative_head,
    grid_twin,
    random_variant,
    slow_quantize,
    tiny,
    token_losses,
    whole,
)
from torch import Tensor
from torch.nn.functional import cross_entropy

from core.config import BIT_WIDTHS, MODEL_KINDS, PRESETS, ModelKind, Preset, Recipe
from core.lstm.models import read_states
from core.quantization import engine, heads
from core.quantization.brevitas_models import compile_variant
from core.quantization.engine import Variant
from core.quantization.levels import Quantizer

V, C = 300, 5
BATCH = whole(documents(12))
POOLINGS = ("last", "mean")
Make = Callable[..., Variant]


@pytest.fixture(autouse=True)
def _plain_torch() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@cache
def float_variant(kind: ModelKind, **spec: object) -> Variant:
    return engine.from_float(tiny(kind, **spec))


@cache
def grid_variant(kind: ModelKind, **spec: object) -> Variant:
    return compile_variant(grid_twin(kind, Recipe.preset("uniform", 4), **spec))


def run(variant: Variant) -> Tensor:
    return engine.run_lstm(engine.prepare(variant), BATCH)


# Losses


def slow_logits(variant: Variant, state: Tensor, label: Tensor | None) -> Tensor:
    def through(values: Tensor, quantizer: Quantizer | None) -> list[float]:
        return values.tolist() if quantizer is None else [slow_quantize(v, quantizer) for v in values.tolist()]

    inputs = through(state, variant.state_input) + ([] if label is None else through(label, variant.label_input))
    return variant.head.value.double() @ torch.tensor(inputs, dtype=torch.float64) + variant.head_bias.double()


def slow_losses(variant: Variant, states: Tensor, ids: list[int]) -> tuple[Tensor, Tensor]:
    """Class losses (C,) of one document, and its token losses (T - 1, C) if generative."""
    if variant.label is None:
        pooled = states[-1] if variant.spec.pooling == "last" else states.mean(0)
        return -torch.log_softmax(slow_logits(variant, pooled, None), dim=0), torch.zeros(0)
    tokens = torch.zeros(len(ids) - 1, CLASSES, dtype=torch.float64)
    for label in range(CLASSES):
        for place, target in enumerate(ids[1:]):
            logits = slow_logits(variant, states[place], variant.label.value[label])
            tokens[place, label] = -torch.log_softmax(logits, dim=0)[target]
    return tokens.sum(0), tokens


def assert_losses_equal_a_plain_loop(variant: Variant) -> None:
    hidden = run(variant)
    losses, tokens = class_losses(variant, BATCH, hidden)
    slow = [
        slow_losses(variant, hidden[row, : BATCH.lengths[row]], document_ids(BATCH, row)) for row in range(len(hidden))
    ]
    torch.testing.assert_close(losses.double(), torch.stack([loss for loss, _ in slow]), rtol=1e-5, atol=1e-5)
    assert (tokens is None) == (variant.label is None)
    if tokens is not None:
        torch.testing.assert_close(tokens.double(), torch.cat([loss for _, loss in slow]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("make", [float_variant, grid_variant], ids=["float", "quantized"])
def test_class_losses_equal_a_plain_loop(make: Make, kind: ModelKind, pooling: str) -> None:
    assert_losses_equal_a_plain_loop(make(kind, pooling=pooling))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("bits", BIT_WIDTHS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_class_losses_of_any_quantized_head_equal_a_plain_loop(kind: ModelKind, bits: int, preset: Preset) -> None:
    assert_losses_equal_a_plain_loop(random_variant(kind, Recipe.preset(preset, bits).bits, hidden=7, seed=bits))


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_head_logits_take_the_labels_in_turn(kind: ModelKind) -> None:
    variant = grid_variant(kind)
    states = torch.linspace(-1, 1, 5 * HIDDEN).reshape(5, HIDDEN)
    labels = None if variant.label is None else variant.label.value
    rows = [slow_logits(variant, state, None if labels is None else labels[i % 3]) for i, state in enumerate(states)]
    torch.testing.assert_close(engine.head_logits(variant, states).double(), torch.stack(rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("make", [float_variant, grid_variant], ids=["float", "quantized"])
def test_a_head_can_be_used_again_and_leaves_its_inputs_alone(make: Make, kind: ModelKind) -> None:
    variant = make(kind)
    head, states = heads.prepare(variant), read_states(variant.spec, run(variant), BATCH)
    before = states.clone(), variant.head.levels.clone(), variant.head_bias.clone()
    first, second = head.class_losses(states, BATCH), head.class_losses(states, BATCH)
    assert torch.equal(first[0], second[0])
    assert all(map(torch.equal, before, (states, variant.head.levels, variant.head_bias)))


# Tokens


Arguments = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def arguments(tokens: int = 50, words: int = V, scale: float = 1.0, hidden: int = 6) -> Arguments:
    """Random states, labels, weight, bias and targets."""
    states, labels, weight = torch.randn(tokens, hidden), torch.randn(C, 4), torch.randn(words, hidden + 4) * scale
    return states, labels, weight, torch.randn(words), torch.randint(words, (tokens,))


def plain_losses(states: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Full logits of every class in float64, one class after the other: (M, C)."""
    states, labels, weight, bias = (tensor.double() for tensor in (states, labels, weight, bias))
    features = [torch.cat([states, label.expand(len(states), -1)], dim=1) for label in labels]
    return torch.stack([cross_entropy(x @ weight.T + bias, targets, reduction="none") for x in features], dim=1)


def assert_equal_to_plain(given: Arguments) -> None:
    torch.testing.assert_close(token_losses(*given).double(), plain_losses(*given), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("gap", [20, 60, 85, 86, 90, 100, 103, 200])
def test_scores_do_not_underflow_where_state_and_class_disagree(gap: float) -> None:
    """The state bets everything on word 0, class 0 on word 1, class 1 on word 0 as well."""
    states, labels = torch.eye(2)[:1], torch.eye(2)
    weight = torch.zeros(4, 4)
    weight[0, 0], weight[1, 2], weight[0, 3] = gap, gap, gap
    losses = token_losses(states, labels, weight, torch.zeros(4), torch.tensor([1]))
    assert (generative_head(states, labels, weight, torch.zeros(4)).excess > 0) == (gap + log(4) > heads.SAFE)
    # Words 0 and 1 are equally likely under class 0; under class 1 word 1 is two gaps behind.
    assert losses.tolist() == [pytest.approx([log(2), 2 * gap], abs=1e-4)]


@pytest.mark.parametrize("gap", [40, 55, 60, 80, 100, 1000])
def test_scores_hold_on_both_sides_of_the_underflow(gap: float) -> None:
    states, labels, weight, bias, targets = arguments()
    weight[:, :6] *= gap / (states @ weight[:, :6].T).max()
    weight[:, 6:] *= gap / (labels @ weight[:, 6:].T).max()
    assert_equal_to_plain((states, labels, weight, bias, targets))


@pytest.mark.parametrize("class_logit", [104, 120])
def test_a_word_that_only_the_state_favours_is_not_lost(class_logit: float) -> None:
    """The state's word 0 outweighs the class's word 1, which the state rules out."""
    states, labels = torch.eye(2)[:1], torch.eye(2)
    weight = torch.zeros(3, 4)
    weight[0, 0], weight[1, 0], weight[1, 2] = 80, -80, class_logit
    assert_equal_to_plain((states, labels, weight, torch.zeros(3), torch.tensor([0])))


def cancelling(excess: float) -> Arguments:
    """Word 2's weights are far larger than its logits are: the bound on logits is `excess` above what is safe."""
    states, labels, weight, bias, targets = arguments(tokens=9, hidden=2)
    states = torch.ones(9, 1) + torch.rand(9, 1).expand(9, 2)
    weight[2, :2] = torch.tensor([1.0, -1.0]) * (excess + heads.SAFE - log(V)) / float(states.max()) / 2
    return states, labels, weight, bias, targets


@pytest.mark.parametrize("excess", [-40, -1, 1, 20, 50, 57, 58, 87, 95, 103, 110, 500])
def test_sums_are_kept_from_no_excess_to_where_nothing_is_left_of_them(excess: float) -> None:
    given = cancelling(excess)
    assert generative_head(*given[:4]).excess == pytest.approx(max(excess, 0), abs=1e-3)
    assert_equal_to_plain(given)


def test_faint_sums_are_lost_if_they_are_not_summed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    given = cancelling(500)
    monkeypatch.setattr(heads, "FAINT", 0.0)
    assert (token_losses(*given) - plain_losses(*given)).abs().min() > 1


def test_tokens_of_faint_sums_are_summed_again_without_a_product_for_every_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = cancelling(500)
    monkeypatch.setattr(Tensor, "logsumexp", lambda *_, **__: pytest.fail("summed term by term"))
    assert_equal_to_plain(given)


@pytest.mark.parametrize("excess", [1, 50, 110])
def test_sums_that_are_not_faint_may_be_summed_again(excess: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "FAINT", inf)
    assert_equal_to_plain(cancelling(excess))


@pytest.mark.parametrize("safe", [-inf, -50.0, 0.0, 5.0, 50.0])
def test_what_counts_as_safe_changes_nothing(safe: float, monkeypatch: pytest.MonkeyPatch) -> None:
    given = arguments()
    monkeypatch.setattr(heads, "SAFE", max(safe, -500.0))
    assert (generative_head(*given[:4]).excess > 0) == (safe < 20)
    assert_equal_to_plain(given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_token_losses_are_minus_log_probabilities(dtype: torch.dtype) -> None:
    states, labels, weight, bias, _ = (tensor.to(dtype) for tensor in arguments(tokens=1))
    every_word = token_losses(states.expand(V, -1), labels, weight, bias, torch.arange(V))
    assert every_word.shape == (V, C)
    torch.testing.assert_close((-every_word).exp().sum(dim=0), torch.ones(C, dtype=dtype))


@pytest.mark.parametrize("scale", [1, 40])
@pytest.mark.parametrize("block", [(1, 1), (1, 300), (7, 3), (49, 299), (50, 300), (51, 301), (1000, 1000)])
def test_the_block_sizes_change_nothing(block: tuple[int, int], scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given = arguments(scale=scale)
    whole_blocks = token_losses(*given)
    monkeypatch.setattr(heads, "BLOCKS", {"cpu": block})
    torch.testing.assert_close(token_losses(*given), whole_blocks, rtol=1e-6, atol=1e-4)


def test_more_tokens_and_words_than_a_block_holds() -> None:
    rows, columns = heads.BLOCKS["cpu"]
    assert_equal_to_plain(arguments(tokens=rows + 1, words=columns + 1))


@pytest.mark.parametrize("scale", [1, 40])
def test_on_many_threads_and_without_numba_it_is_torchs_exp(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    given = arguments(scale=scale)
    compiled = token_losses(*given)
    assert generative_head(*given[:4]).exponentiate is not torch.exp_
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: heads.FEW_THREADS + 1)
        assert generative_head(*given[:4]).exponentiate is torch.exp_
        torch.testing.assert_close(token_losses(*given), compiled, rtol=1e-6, atol=1e-4)
    monkeypatch.setattr(heads, "compiled_kernels", lambda: None)
    assert generative_head(*given[:4]).exponentiate is torch.exp_


@pytest.mark.parametrize("scale", [1, 50])
def test_token_losses_leave_their_inputs_alone(scale: float) -> None:
    given = arguments(tokens=9, scale=scale)
    copies = [tensor.clone() for tensor in given]
    token_losses(*given)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(given, copies, strict=True))


def test_no_tokens_have_no_losses() -> None:
    assert token_losses(*arguments(tokens=0)).shape == (0, C)


@pytest.mark.parametrize("make", [float_variant, grid_variant], ids=["float", "quantized"])
def test_a_document_without_a_next_token_has_no_loss(make: Make) -> None:
    losses, tokens = heads.prepare(make("generative")).class_losses(torch.rand(3, HIDDEN), batch_of(1, 4, 1))
    assert losses[[0, 2]].tolist() == [[0.0] * CLASSES] * 2
    assert tokens is not None
    torch.testing.assert_close(tokens.sum(dim=0), losses[1])


@pytest.mark.parametrize("make", [float_variant, grid_variant], ids=["float", "quantized"])
def test_documents_without_any_next_token_have_no_loss(make: Make) -> None:
    losses, tokens = heads.prepare(make("generative")).class_losses(torch.zeros(0, HIDDEN), batch_of(1, 1))
    assert losses.tolist() == [[0.0] * CLASSES] * 2
    assert tokens is not None
    assert tokens.shape == (0, CLASSES)
