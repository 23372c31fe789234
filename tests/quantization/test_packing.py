"""Packed levels next to one large integer's bytes; variants next to themselves, stored and loaded."""

import json
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import class_losses, documents, grid_twin, random_variant, tiny, whole
from torch import Tensor

from core.config import BIT_WIDTHS, MODEL_KINDS, PRESETS, ModelKind, Preset, Recipe
from core.quantization import engine, packing
from core.quantization.brevitas_models import compile_variant
from core.quantization.engine import MATRICES, Variant
from core.quantization.levels import Matrix

BATCH = whole(documents(12))
WIDTHS = range(1, 9)
FLOAT_BYTES = 4
Make = Callable[[ModelKind], Variant]


@cache
def float_variant(kind: ModelKind) -> Variant:
    return engine.from_float(tiny(kind))


@cache
def grid_variant(kind: ModelKind) -> Variant:
    return compile_variant(grid_twin(kind, Recipe.preset("uniform", 4)))


def matrices(variant: Variant) -> dict[str, Matrix]:
    return {name: matrix for name in MATRICES if (matrix := getattr(variant, name))}


def slow_bits(values: list[int]) -> int:
    """The narrowest two's complement that holds every value."""
    return next(bits for bits in WIDTHS if all(-(2**bits) <= 2 * value < 2**bits for value in values))


def slow_pack(values: list[int], bits: int) -> bytes:
    """One large integer, its lowest bits the first level counted from the lowest there is; whole groups of eight."""
    number = sum((value + 2**bits // 2) << (bits * place) for place, value in enumerate(values))
    return number.to_bytes(-(-len(values) // 8) * bits, "little")


def assert_packs(levels: Tensor) -> None:
    values = levels.flatten().tolist()
    data, bits = packing.pack(levels)
    assert bits == slow_bits(values)
    assert data.dtype == torch.uint8
    assert bytes(data.tolist()) == slow_pack(values, bits)
    back = packing.unpack(data, bits, list(levels.shape))
    assert back.dtype == torch.int8
    assert back.is_contiguous()
    assert torch.equal(back, levels)


def reaching_levels(bits: int, count: int) -> Tensor:
    """Random levels of `bits` bits; the first is the lowest there is, so that none fewer would do."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
    levels = np.random.default_rng(count).integers(low, high, count).astype(np.int8)
    levels[0] = low
    return torch.from_numpy(levels)


# Levels


@pytest.mark.parametrize("bits", WIDTHS)
def test_levels_of_every_width_and_length_come_back(bits: int) -> None:
    for count in (*range(1, 18), 63, 64, 65):
        levels = reaching_levels(bits, count)
        assert_packs(levels)
        data, found = packing.pack(levels)
        assert (found, data.nbytes) == (bits, -(-count // 8) * bits)


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=40), st.integers(0, 7))
def test_any_levels_come_back(values: list[int], fewer: int) -> None:
    assert_packs(torch.tensor([value >> fewer for value in values], dtype=torch.int8))


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-1, 2, 3), (-4, 3, 3), (-5, 0, 4), (-63, 63, 7), (0, 127, 8)],
)
def test_the_narrowest_bits_that_hold_both_ends_are_taken(low: int, high: int, bits: int) -> None:
    assert packing.pack(torch.tensor([0, high, low], dtype=torch.int8))[1] == bits


@pytest.mark.parametrize("shape", [(1,), (1, 1), (3, 5), (5, 3), (2, 3, 7), (8, 8), (1, 9)])
def test_levels_keep_their_shape(shape: tuple[int, ...]) -> None:
    levels = reaching_levels(5, int(np.prod(shape))).reshape(shape)
    assert_packs(levels)
    assert_packs(levels.flip(0))


def test_levels_that_do_not_lie_in_a_row_come_back() -> None:
    levels = reaching_levels(6, 35).reshape(5, 7)
    assert_packs(levels.T)
    assert_packs(levels[::2, 1::3])


def test_packing_leaves_its_input_alone() -> None:
    levels = reaching_levels(8, 21)
    data, bits = packing.pack(levels)
    stored = data.clone()
    packing.unpack(data, bits, [21]).zero_()
    assert torch.equal(levels, reaching_levels(8, 21))
    assert torch.equal(data, stored)


# Variants


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("make", [float_variant, grid_variant], ids=["float", "quantized"])
def test_stored_then_loaded_equals_before(make: Make, kind: ModelKind) -> None:
    variant = make(kind)
    tensors, meta = packing.to_tensors(variant)
    stored, text = safetensors.torch.save(tensors), json.dumps(meta)
    loaded = packing.from_tensors(safetensors.torch.load(stored), json.loads(text))
    assert (loaded.spec, loaded.sites) == (variant.spec, variant.sites)
    assert (loaded.state_input, loaded.label_input) == (variant.state_input, variant.label_input)
    again, _ = packing.to_tensors(loaded)
    assert again.keys() == tensors.keys()
    assert all(again[name].dtype == tensors[name].dtype and torch.equal(again[name], tensors[name]) for name in tensors)
    assert all(map(torch.equal, scores(variant), scores(loaded)))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("bits", BIT_WIDTHS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_loaded_variant_has_the_same_levels_and_losses(kind: ModelKind, bits: int, preset: Preset) -> None:
    variant = random_variant(kind, Recipe.preset(preset, bits).bits, hidden=7)
    loaded = packing.from_tensors(*packing.to_tensors(variant))
    before, after = matrices(variant), matrices(loaded)
    assert after.keys() == before.keys()
    for name, matrix in before.items():
        assert (after[name].levels.dtype, after[name].quantized) == (torch.int8, True)
        assert torch.equal(after[name].levels, matrix.levels)
        assert torch.equal(after[name].scale, matrix.scale)
    for one, other in zip(scores(variant), scores(loaded), strict=True):
        assert torch.equal(one, other)


def scores(variant: Variant) -> list[Tensor]:
    hidden = engine.run_lstm(engine.prepare(variant), BATCH)
    return [tensor for tensor in (hidden, *class_losses(variant, BATCH, hidden)) if tensor is not None]


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_float_variant_is_stored_as_it_is(kind: ModelKind) -> None:
    variant = float_variant(kind)
    tensors, meta = packing.to_tensors(variant)
    assert (meta["packed"], meta["quantizers"]) == ({}, {})
    assert all(torch.equal(tensors[f"{name}.levels"], matrix.levels) for name, matrix in matrices(variant).items())
    for one, other in zip(scores(variant), scores(packing.from_tensors(tensors, meta)), strict=True):
        assert torch.equal(one, other)


# Sizes


@pytest.mark.parametrize("bits", BIT_WIDTHS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_weight_takes_its_bits_of_what_it_takes_in_float(kind: ModelKind, bits: int) -> None:
    variant = random_variant(kind, Recipe.preset("uniform", bits).bits)
    floats, sizes = packing.stored_bytes(float_variant(kind)), packing.stored_bytes(variant)
    assert sizes.keys() == floats.keys() == {*matrices(variant), "bias", "head_bias"}
    assert all(sizes[name] == floats[name] for name in ("bias", "head_bias"))
    for name, matrix in matrices(variant).items():
        needed = slow_bits(matrix.levels.flatten().tolist())
        assert needed <= bits
        assert floats[name] == FLOAT_BYTES * (matrix.levels.numel() + 1)
        assert sizes[name] == -(-matrix.levels.numel() // 8) * needed + FLOAT_BYTES * matrix.scale.numel()
    for name in ("embedding", "head", *(["label"] if kind == "generative" else [])):
        scale = FLOAT_BYTES
        assert 0 <= sizes[name] - scale - (floats[name] - scale) * bits / 32 < bits


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("make", [float_variant, grid_variant], ids=["float", "quantized"])
def test_the_stored_bytes_are_those_of_the_file_without_its_header(make: Make, kind: ModelKind) -> None:
    variant = make(kind)
    file = safetensors.torch.save(packing.to_tensors(variant)[0])
    header = 8 + int.from_bytes(file[:8], "little")
    assert sum(packing.stored_bytes(variant).values()) == len(file) - header
