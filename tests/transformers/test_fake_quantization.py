"""The layers of quantization-aware training beside rounding written out, and their gradients."""

import pytest
import torch
from torch import Tensor, nn

from core.errors import InputError
from core.transformers.fake_quantization import MOMENTUM, FakeQuantLinear, Int8Linear, fake_input, weight_scale


def layer_of(inputs: int = 5, outputs: int = 3, bias: bool = True) -> FakeQuantLinear:
    torch.manual_seed(0)
    return FakeQuantLinear.of(nn.Linear(inputs, outputs, bias))


def batch(seed: int = 1, documents: int = 7) -> Tensor:
    return torch.randn(documents, 4, 5, generator=torch.Generator().manual_seed(seed)) + 0.5


def reference(layer: FakeQuantLinear, x: Tensor) -> Tensor:
    """The layer's output, one output at a time, with every rounding in Python's double precision."""
    low, high = min(0.0, float(layer.low)), max(0.0, float(layer.high))
    step = (high - low) / 255
    zero = round(-low / step)
    rows = []
    for values in x.reshape(-1, x.shape[-1]).tolist():
        inputs = [(min(255, max(0, round(value / step + zero))) - zero) * step for value in values]
        row = []
        for weights, bias in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True):
            scale = max(abs(weight) for weight in weights) / 127
            levels = [round(weight / scale) for weight in weights]
            row.append(bias + sum(level * scale * value for level, value in zip(levels, inputs, strict=True)))
        rows.append(row)
    return torch.tensor(rows).reshape(*x.shape[:-1], -1)


def test_the_output_is_that_of_8_bit_weights_and_inputs() -> None:
    layer, x = layer_of(), batch()
    out = layer(x)
    torch.testing.assert_close(out, reference(layer, x), rtol=1e-5, atol=1e-5)
    assert not torch.equal(out, nn.functional.linear(x, layer.weight, layer.bias))


def test_the_first_batch_sets_the_range_and_later_ones_pull_it() -> None:
    layer = layer_of()
    assert not layer.calibrated
    first, second = batch(1), 3 * batch(2)
    layer(first)
    assert (layer.low, layer.high) == (first.min(), first.max())
    layer(second)
    torch.testing.assert_close(layer.high, first.max() + MOMENTUM * (second.max() - first.max()))
    torch.testing.assert_close(layer.low, first.min() + MOMENTUM * (second.min() - first.min()))


def test_evaluation_leaves_the_range_alone_and_needs_one() -> None:
    layer = layer_of()
    with pytest.raises(InputError, match="run a training batch through the model first"):
        layer.eval()(batch())
    layer.train()(batch())
    before = layer.high.clone()
    layer.eval()(100 * batch())
    assert layer.high == before


def test_an_empty_batch_sets_no_range() -> None:
    layer = layer_of()
    assert layer(torch.empty(0, 5)).shape == (0, 3)
    assert not layer.calibrated


def test_zero_has_a_level_even_where_no_input_is_near_it() -> None:
    layer = layer_of()
    layer(batch().abs() + 10)
    assert fake_input(torch.zeros(3), *layer.input_quantizer()).tolist() == [0, 0, 0]


def test_gradients_pass_straight_through_inside_the_range_and_stop_outside() -> None:
    layer = layer_of()
    layer(batch().clamp(-1, 1))
    x = torch.tensor([[0.3, -0.2, 5.0, 0.9, -7.0]], requires_grad=True)
    layer.eval()(x).sum().backward()
    assert x.grad is not None
    weights = (layer.weight / weight_scale(layer.weight)[:, None]).round() * weight_scale(layer.weight)[:, None]
    inside = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0])
    torch.testing.assert_close(x.grad[0], weights.sum(dim=0).detach() * inside)
    rounded = fake_input(x.detach(), *layer.input_quantizer())
    torch.testing.assert_close(layer.weight.grad, rounded.expand(3, 5))


@pytest.mark.parametrize("bias", [True, False])
def test_the_int8_layer_equals_the_trained_one(bias: bool) -> None:
    layer = layer_of(bias=bias)
    layer(batch())
    finished = Int8Linear(layer.eval())
    assert torch.equal(finished(batch(3)), layer(batch(3)))
    assert finished.levels.dtype == torch.int8
    assert finished.levels.abs().amax(dim=1).tolist() == [127, 127, 127]


def test_a_row_of_zeros_and_a_constant_input_stay_finite() -> None:
    layer = layer_of()
    with torch.no_grad():
        layer.weight[1] = 0
    out = layer(torch.zeros(2, 5))
    torch.testing.assert_close(out, layer.bias.expand(2, 3))
    assert torch.equal(Int8Linear(layer)(torch.zeros(2, 5)), out)


def test_it_learns() -> None:
    layer = layer_of()
    x = batch()
    target = x @ torch.linspace(-1, 1, 15).reshape(5, 3)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(layer(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]
