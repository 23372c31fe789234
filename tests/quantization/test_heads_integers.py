"""The quantized head: its products next to int64, its losses next to float64, with and without int8 instructions."""

from dataclasses import replace
from math import log

import pytest
import torch
from models import VOCABULARY, class_losses, documents, random_variant, whole
from torch.nn.functional import cross_entropy

from core.config import BIT_WIDTHS, PRESETS, Preset, Recipe
from core.quantization import engine, heads
from core.quantization.heads import GenerativeHead
from core.quantization.levels import Matrix, Quantizer, quantize

C = 5
BATCH = whole(documents(12))
EIGHT_BITS = Quantizer(0.007, -128, 127)
NOTHING = torch.empty(0)


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(0)


def integer_head(words: int, hidden: int, scale: float = 0.003) -> GenerativeHead:
    weight = Matrix(torch.randint(-128, 128, (words, hidden)).to(torch.int8), torch.tensor([scale]))
    return GenerativeHead(weight, torch.randn(C, words), EIGHT_BITS, 128 * EIGHT_BITS.scale)


@pytest.mark.parametrize("scale", [0.003, 0.3])
@pytest.mark.parametrize(("tokens", "words", "hidden"), [(1, 1, 1), (1, 1025, 7), (513, 33, 7), (9, 1024, 100)])
def test_a_quantized_head_equals_a_plain_loop(tokens: int, words: int, hidden: int, scale: float) -> None:
    head, entered = integer_head(words, hidden, scale), torch.randint(-128, 128, (tokens, hidden))
    targets = torch.randint(words, (tokens,))
    sums = (entered @ head.weight.levels.long().T).double() * EIGHT_BITS.scale * float(head.weight.scale)
    every_class = [cross_entropy(sums + logits.double(), targets, reduction="none") for logits in head.class_logits]
    found = head.token_losses(entered * EIGHT_BITS.scale, targets)
    torch.testing.assert_close(found.double(), torch.stack(every_class, dim=1), rtol=1e-5, atol=1e-4)
    assert (head.excess > 0) == (hidden > 1 and scale == 0.3)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("bits", BIT_WIDTHS)
def test_a_cpu_without_int8_instructions_gives_the_same_losses(
    bits: int, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = random_variant("generative", Recipe.preset(preset, bits).bits, hidden=7)
    hidden, used = engine.run_lstm(engine.prepare(variant), BATCH), []
    before = class_losses(variant, BATCH, hidden)
    monkeypatch.setattr(heads, "integers_are_exact", lambda: False)
    monkeypatch.setattr(heads, "integer_product", used.append)
    assert all(map(torch.equal, before, class_losses(variant, BATCH, hidden)))
    assert used == []


def test_states_that_rounding_put_beyond_one_do_not_overflow() -> None:
    """The hidden state 0.95 becomes 1.25 at three bits; only the bound on states knows of it."""
    variant = random_variant("generative", Recipe.preset("uniform", 8).bits, hidden=4)
    coarse = Quantizer(0.625, -4, 3)
    states = quantize(torch.full((1, 4), 0.95), coarse)
    levels, fine = torch.full_like(variant.head.levels, 1), Quantizer(0.0125, -128, 127)
    scale = (heads.SAFE - log(VOCABULARY) - 0.01) / 4 / (1 + fine.scale / 2)
    variant = replace(
        variant,
        sites={**variant.sites, "hidden_state": coarse},
        state_input=fine,
        head=Matrix(levels, torch.tensor([scale])),
    )
    assert float(states[0, 0]) == 1.25
    losses = heads.prepare(variant).token_losses(states, torch.tensor([0]))  # type: ignore[union-attr]
    labels = engine.head_inputs(variant, states)[1]
    assert labels is not None
    logits = (states.sum() + labels.sum(dim=1, keepdim=True)) * scale + variant.head_bias
    torch.testing.assert_close(
        losses[0].double(), -torch.log_softmax(logits.double(), dim=1)[:, 0], rtol=1e-5, atol=1e-4
    )
