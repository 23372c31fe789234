"""Per-tensor INT8 from scratch beside a slow double-precision reference."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor, nn

from core.errors import InputError
from core.transformers.parameter_int8 import dequantize, load_parameters, quantize_parameters, quantize_tensor

BOTH = pytest.mark.parametrize("symmetric", [True, False])
finite = arrays.arrays(np.float32, st.integers(1, 40), elements=st.floats(-1e6, 1e6, width=32))


class Tied(nn.Module):
    """An embedding whose matrix is the output layer's too, and a norm whose parameters are constant."""

    def __init__(self, words: int = 11, width: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B,) -> logits (B, words)."""
        return self.head(self.norm(self.embedding(ids)))


def reference(values: list[float], symmetric: bool) -> tuple[list[int], list[float]]:
    """Levels and values by the report's equations, one number at a time, in Python's double precision."""
    low, high = min(values), max(values)
    if symmetric:
        scale, zero_point = max(abs(low), abs(high)) / 127, 0.0
    else:
        scale = (high - low) / (127 - -128)
        zero_point = -128 - low / scale
    levels = [min(127, max(-128, round(value / scale + zero_point))) for value in values]
    return levels, [(level - zero_point) * scale for level in levels]


@BOTH
@given(values=finite)
def test_levels_and_values_are_those_of_the_equations(values: np.ndarray, symmetric: bool) -> None:
    if values.min() == values.max():
        values = np.append(values, np.float32(values[0] + 1 + abs(values[0])))
    quantized = quantize_tensor(torch.from_numpy(values), symmetric)
    levels, back = reference([float(value) for value in values], symmetric)
    assert quantized.levels.tolist() == levels
    np.testing.assert_allclose(dequantize(quantized).numpy(), np.float32(back), rtol=1e-6, atol=1e-30)


@BOTH
@given(values=finite)
def test_no_value_moves_by_more_than_half_a_step(values: np.ndarray, symmetric: bool) -> None:
    quantized = quantize_tensor(torch.from_numpy(values), symmetric)
    moved = np.abs(dequantize(quantized).double().numpy() - values)
    rounding = np.abs(values).max() * np.finfo(np.float32).eps
    assert moved.max() <= quantized.scale / 2 + rounding


def test_affine_levels_span_the_whole_grid_and_symmetric_ones_keep_zero() -> None:
    values = torch.tensor([-0.5, 0.0, 0.3, 4.5])
    affine, symmetric = quantize_tensor(values, symmetric=False), quantize_tensor(values, symmetric=True)
    assert (affine.levels.min(), affine.levels.max()) == (-128, 127)
    assert affine.scale == pytest.approx(5 / 255)
    assert (symmetric.zero_point, symmetric.levels[1], symmetric.levels.max()) == (0, 0, 127)
    assert dequantize(symmetric)[1] == 0


@BOTH
def test_quantizing_again_changes_nothing(symmetric: bool) -> None:
    once = quantize_tensor(torch.randn(300, generator=torch.Generator().manual_seed(0)), symmetric)
    assert torch.equal(quantize_tensor(dequantize(once), symmetric).levels, once.levels)


@BOTH
@pytest.mark.parametrize("constant", [0.0, 1.0, -1.0, 0.1, -3e-7, 1e30, 1e-45])
def test_constant_tensors_stay_as_they_are(constant: float, symmetric: bool) -> None:
    values = torch.full((3, 2), constant)
    torch.testing.assert_close(dequantize(quantize_tensor(values, symmetric)), values, rtol=1e-7, atol=0)


@BOTH
@pytest.mark.parametrize("values", [torch.empty(0, 3), torch.tensor(2.5), torch.tensor([1000.0, 1000.001])])
def test_odd_tensors_keep_shape_and_value(values: Tensor, symmetric: bool) -> None:
    back = dequantize(quantize_tensor(values, symmetric))
    assert back.shape == values.shape
    torch.testing.assert_close(back, values, rtol=0 if values.numel() == 1 else 0.004, atol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="1 of 3 values are NaN or infinite"):
        quantize_tensor(torch.tensor([1.0, bad, 2.0]), symmetric=True)


def test_integers_are_refused_and_the_parameter_is_named() -> None:
    with pytest.raises(InputError, match=r"torch\.int64 cannot be quantized"):
        quantize_tensor(torch.arange(3), symmetric=False)
    model = Tied()
    with torch.no_grad():
        model.norm.bias[2] = math.nan
    with pytest.raises(InputError, match=r"parameter norm\.bias: 1 of 6 values"):
        quantize_parameters(model, symmetric=True)


@BOTH
def test_a_loaded_model_has_the_dequantized_parameters(symmetric: bool) -> None:
    torch.manual_seed(0)
    model, other = Tied(), Tied()
    tensors = quantize_parameters(model, symmetric)
    load_parameters(other, tensors)
    for name, parameter in model.named_parameters():
        expected = dequantize(quantize_tensor(parameter.detach(), symmetric))
        assert torch.equal(other.get_parameter(name), expected)
    ids = torch.arange(11)
    assert (other(ids) - model(ids)).abs().max() < 0.05 * model(ids).abs().max()


@BOTH
def test_tied_parameters_are_stored_once_and_stay_tied(symmetric: bool) -> None:
    model = Tied()
    tensors = quantize_parameters(model, symmetric)
    assert "embedding.weight" in tensors
    assert "head.weight" not in tensors
    load_parameters(model, tensors)
    assert model.head.weight is model.embedding.weight


@pytest.mark.parametrize(("symmetric", "extra"), [(True, 8), (False, 16)])
def test_what_is_stored_takes_a_byte_for_each_value(symmetric: bool, extra: int) -> None:
    model = Tied()
    tensors = quantize_parameters(model, symmetric)
    count = len(list(model.parameters()))
    values = sum(parameter.numel() for parameter in model.parameters())
    assert sum(tensor.nbytes for tensor in tensors.values()) == values + extra * count


def test_tensors_of_another_model_are_refused_and_nothing_is_changed() -> None:
    model, before = Tied(), Tied()
    before.load_state_dict(model.state_dict())
    tensors = quantize_parameters(Tied(words=12), symmetric=True)
    del tensors["norm.bias"]
    tensors["extra"] = torch.zeros(1)
    with pytest.raises(InputError, match="extra is not a parameter") as error:
        load_parameters(model, tensors)
    assert "norm.bias is missing" in str(error.value)
    assert "embedding.weight has shape (12, 6), the model (11, 6)" in str(error.value)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))
