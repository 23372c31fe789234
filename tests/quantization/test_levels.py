"""Levels: rounding by hand, the values of a grid, and the scale that Brevitas gives a range."""

from itertools import product

import numpy as np
import pytest
import torch
from models import tiny

from core.config import BIT_WIDTHS, Recipe
from core.quantization import levels
from core.quantization.brevitas_models import BrevitasTwin
from core.quantization.levels import Quantizer


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (0.0, 0),
        (0.49, 0),
        (0.5, 0),
        (0.51, 1),
        (1.5, 2),
        (2.5, 2),
        (-0.5, 0),
        (-1.5, -2),
        (-2.5, -2),
        (-3.5, -4),
        (3.4, 3),
        (3.5, 3),
        (99.0, 3),
        (-99.0, -4),
    ],
)
def test_to_levels_rounds_half_to_even_then_clamps(value: float, level: int) -> None:
    for scale in (1.0, 0.25):
        quantizer = Quantizer(scale, -4, 3)
        assert float(levels.to_levels(torch.tensor([value * scale]), quantizer)) == level
        assert float(levels.quantize(torch.tensor([value * scale]), quantizer)) == level * scale


def test_an_unsigned_quantizer_has_no_negative_level() -> None:
    quantizer = Quantizer.of_range(1.0, 3, signed=False)
    values = torch.tensor([-1.0, 0.0, 0.6, 1.0, 2.0])
    assert levels.to_levels(values, quantizer).tolist() == [0, 0, 4, 7, 7]


def test_quantizing_leaves_its_input_alone() -> None:
    values = torch.tensor([0.3, -0.7])
    levels.quantize(values, Quantizer(0.5, -4, 3))
    assert values.tolist() == torch.tensor([0.3, -0.7]).tolist()
    assert levels.quantize(values, None) is values


@pytest.mark.parametrize("quantizer", [Quantizer(0.3, -4, 3), Quantizer(0.01, 0, 255), Quantizer(2.5, -128, 127)])
def test_grid_values_are_all_that_quantizing_gives(quantizer: Quantizer) -> None:
    values = levels.grid_values(quantizer)
    assert levels.to_levels(values, quantizer).tolist() == list(range(quantizer.low, quantizer.high + 1))
    drawn = torch.from_numpy(np.random.default_rng(0).normal(0, 99 * quantizer.scale, 5000).astype(np.float32))
    assert torch.isin(levels.quantize(drawn, quantizer), values).all()
    assert torch.equal(levels.quantize(values, quantizer), values)


@pytest.mark.parametrize("bits", BIT_WIDTHS)
def test_a_quantizer_of_a_range_is_the_one_brevitas_makes(bits: int) -> None:
    twin = BrevitasTwin(tiny("discriminative"), Recipe.preset("uniform", bits))
    for site, largest in product(("cell_state", "input_sigmoid"), (0.37, 1.0, 5.3)):
        twin.set_range(site, largest)  # kept in float32
        theirs, ours = (
            twin.quantizer(site),
            Quantizer.of_range(float(np.float32(largest)), bits, signed=site == "cell_state"),
        )
        assert (np.float32(theirs.scale), theirs.low, theirs.high) == (np.float32(ours.scale), ours.low, ours.high)
        assert ours.largest == pytest.approx(largest, rel=1e-7)


# The LSTM
