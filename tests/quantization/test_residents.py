"""Variants kept ready: made once, bounded in bytes, the least recently used dropped first."""

from threading import Thread

import pytest
import torch
from models import class_losses, documents, grid_twin, tiny, whole
from torch import Tensor

from core.config import MODEL_KINDS, ModelKind, Recipe
from core.quantization import engine
from core.quantization.brevitas_models import compile_variant
from core.quantization.engine import Variant
from core.quantization.residents import Resident, Residents

BATCH = whole(documents(6))


def variant(kind: ModelKind = "generative", bits: int = 4) -> Variant:
    return compile_variant(grid_twin(kind, Recipe.preset("uniform", bits)))


def size_of(one: Variant) -> int:
    return Resident(one, {}).bytes


def held(residents: Residents, *keys: str) -> list[bool]:
    """Which keys are kept, asked without changing the order of use."""
    return [key in residents._kept for key in keys]


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("quantized", [True, False])
def test_a_resident_scores_as_its_parts_do(kind: ModelKind, quantized: bool) -> None:
    one = variant(kind) if quantized else engine.from_float(tiny(kind))
    states, losses, tokens = Resident(one, {}).score(BATCH)
    expected, expected_tokens = class_losses(one, BATCH, engine.run_lstm(engine.prepare(one), BATCH))
    assert torch.equal(states, engine.head_states(engine.prepare(one), BATCH))
    torch.testing.assert_close(losses, expected, rtol=0, atol=1e-5)
    assert (tokens is None) == (expected_tokens is None) == (kind == "discriminative")


def test_bytes_count_every_tensor_that_is_kept() -> None:
    one = Resident(variant(), {})
    kept: list[Tensor] = [matrix.levels for name in engine.MATRICES if (matrix := getattr(one.variant, name))]
    kept += [one.variant.bias, one.variant.head_bias, one.prepared.table, one.prepared.recurrent]
    head_only = one.bytes - sum(tensor.nbytes for tensor in kept)
    words, classes, hidden = len(one.variant.head_bias), one.variant.classes, len(one.prepared.recurrent)
    assert head_only == 2 * 4 * words * classes + words * hidden


def test_what_is_kept_is_listed_with_its_bytes_the_least_recently_used_first() -> None:
    residents, ones = Residents(), {"a": variant(bits=4), "b": variant(bits=3)}
    for key in ("a", "b", "a"):
        residents.get(key, lambda key=key: (ones[key], {}))
    assert residents.kept() == [("b", size_of(ones["b"])), ("a", size_of(ones["a"]))]
    residents.clear()
    assert residents.kept() == []


def test_each_is_made_once_while_it_is_kept() -> None:
    residents, made = Residents(), []

    def make() -> tuple[Variant, dict]:
        made.append(1)
        return variant(), {"of": "this"}

    first, again = residents.get("a", make), residents.get("a", make)
    assert first is again
    assert first.report == {"of": "this"}
    assert len(made) == len(residents) == 1
    assert residents.bytes == first.bytes
    residents.clear()
    assert (len(residents), residents.bytes) == (0, 0)
    assert residents.get("a", make) is not first


def test_the_least_recently_used_goes_first() -> None:
    one = variant()
    residents = Residents(limit=2 * size_of(one))
    for key in ("a", "b", "a", "c"):
        residents.get(key, lambda: (one, {}))
        assert residents.bytes <= residents.limit
    assert held(residents, "a", "b", "c") == [True, False, True]


def test_one_beyond_the_limit_is_made_and_not_kept() -> None:
    small, large = variant("discriminative"), variant("generative")
    residents = Residents(limit=size_of(large) - 1)
    residents.get("small", lambda: (small, {}))
    assert residents.get("large", lambda: (large, {})).variant is large
    assert held(residents, "small", "large") == [True, False]


def test_a_failure_to_make_leaves_nothing_behind() -> None:
    residents = Residents()

    def fail() -> tuple[Variant, dict]:
        raise ValueError("no weights")

    with pytest.raises(ValueError, match="no weights"):
        residents.get("a", fail)
    assert len(residents) == 0
    assert residents.get("a", lambda: (variant(), {})).bytes == residents.bytes


def test_threads_share_one_and_score_alike() -> None:
    residents, one, losses = Residents(), variant(), []
    threads = [
        Thread(target=lambda: losses.append(residents.get("a", lambda: (one, {})).score(BATCH)[1])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(losses) == 8
    assert all(torch.equal(loss, losses[0]) for loss in losses)
    assert len(residents) == 1
