"""Linear layers for quantization-aware training: float layers that see INT8 weights and inputs, and the result.

Weights are symmetric on -127..127 with a scale for each output row, inputs affine on 0..255 with one range for the
layer, in which zero has a level. Training batches move that range: the first sets it, each further one pulls it by
`MOMENTUM` (padding counts, as layers cannot see it). Rounding passes gradients straight through, values beyond the
range pass none.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from core.errors import InputError

MOMENTUM = 0.01
W_MAX, X_MAX = 127, 255
SMALLEST = 1e-12  # of a scale, so that a constant input or an empty row divides by something


class FakeQuantLinear(nn.Linear):
    """A Linear layer (..., in) -> (..., out) whose weight and input are rounded to 8 bits on the way."""

    low: Tensor
    high: Tensor

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        self.register_buffer("low", torch.tensor(torch.inf))
        self.register_buffer("high", torch.tensor(-torch.inf))

    @classmethod
    def of(cls, layer: nn.Linear) -> Self:
        """Return a layer that holds the very parameters of `layer`."""
        new = cls(layer.in_features, layer.out_features, layer.bias is not None).to(layer.weight.device)
        new.weight, new.bias = layer.weight, layer.bias
        return new.train(layer.training)

    @property
    def calibrated(self) -> bool:
        """Whether a training batch has set the input's range."""
        return bool(self.low <= self.high)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out). Raises InputError outside training if no batch has set the range."""
        if self.training:
            self._observe(x.detach())
        elif not self.calibrated:
            raise InputError("this layer's input range is not set: run a training batch through the model first")
        weight = torch.fake_quantize_per_channel_affine(
            self.weight, weight_scale(self.weight), self._zeros(), 0, -W_MAX, W_MAX
        )
        return linear(fake_input(x, *self.input_quantizer()), weight, self.bias)

    def input_quantizer(self) -> tuple[Tensor, Tensor]:
        """Return (scale float32, zero point int32, the level of zero), both without dimensions."""
        low, high = self.low.clamp(max=0), self.high.clamp(min=0)
        scale = ((high - low) / X_MAX).clamp(min=SMALLEST)
        return scale, (-low / scale).round().to(torch.int32)

    @torch.no_grad()
    def _observe(self, x: Tensor) -> None:
        if x.numel() == 0:
            return
        low, high = x.aminmax()
        pull = MOMENTUM if self.calibrated else 1.0
        start = (self.low, self.high) if self.calibrated else (low, high)
        self.low.copy_(start[0] + pull * (low - start[0]))
        self.high.copy_(start[1] + pull * (high - start[1]))

    def _zeros(self) -> Tensor:
        return torch.zeros(self.out_features, dtype=torch.int32, device=self.weight.device)


class Int8Linear(nn.Module):
    """What a trained FakeQuantLinear computes in evaluation, held as int8 levels.

    The arithmetic is float32 on the levels' values, so that predictions are those of training on every machine; an
    INT8 kernel would sum the same products as integers.
    """

    levels: Tensor
    scale: Tensor
    input_scale: Tensor
    input_zero_point: Tensor

    def __init__(self, layer: FakeQuantLinear) -> None:
        super().__init__()
        weight = layer.weight.detach()
        scale = weight_scale(weight)
        input_scale, input_zero_point = layer.input_quantizer()
        self.register_buffer("levels", (weight / scale[:, None]).round().clamp(-W_MAX, W_MAX).to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("input_scale", input_scale.clone())
        self.register_buffer("input_zero_point", input_zero_point.clone())
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        weight = self.levels.float() * self.scale[:, None]
        return linear(fake_input(x, self.input_scale, self.input_zero_point), weight, self.bias)


def weight_scale(weight: Tensor) -> Tensor:
    """weight (out, in) -> one step for each row (out,): its largest magnitude over 127."""
    return (weight.detach().abs().amax(dim=1) / W_MAX).clamp(min=SMALLEST)


def fake_input(x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Round x (any shape) to the levels 0..255 of `scale` around `zero_point`; the gradient goes straight through."""
    return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, 0, X_MAX)
