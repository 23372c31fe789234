"""Integer levels: a quantized signal or weight is a level times a scale.

Levels are integers kept in float32, where products and sums below 2**24 are exact. Rounding is defined once, in
`to_levels`: round half to even, then clamp, as Brevitas's IntQuant does.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Quantizer:
    """A uniform quantizer: levels `low..high` (inclusive integers), each worth `scale`."""

    scale: float
    low: int
    high: int

    @classmethod
    def of_range(cls, largest: float, bits: int, signed: bool = True) -> "Quantizer":
        """Cover [-largest, largest] (or [0, largest]) with `bits` bits, as Brevitas scales them."""
        levels = 2 ** (bits - 1) if signed else 2**bits - 1
        return cls(largest / levels, -levels if signed else 0, levels - 1 if signed else levels)

    @property
    def largest(self) -> float:
        """The range this quantizer was made for: scale times the number of positive steps."""
        return self.scale * (-self.low if self.low else self.high)


def to_levels(values: Tensor, quantizer: Quantizer) -> Tensor:
    """Return the integer levels of `values`, as floats: divide, round half to even, clamp."""
    return torch.round(values / quantizer.scale).clamp_(quantizer.low, quantizer.high)


def grid_values(quantizer: Quantizer) -> Tensor:
    """Return every value of a quantizer, the lowest first."""
    return torch.arange(quantizer.low, quantizer.high + 1, dtype=torch.float32).mul_(quantizer.scale)


def quantize(values: Tensor, quantizer: Quantizer | None) -> Tensor:
    """Return `values` on their quantizer's grid; unchanged where there is no quantizer."""
    return values if quantizer is None else to_levels(values, quantizer).mul_(quantizer.scale)


@dataclass(frozen=True)
class Matrix:
    """A weight as levels times scale: int8 levels if quantized, the float32 weight itself (scale 1) if not.

    The scale is a scalar (1,), or (rows, 1) where blocks of rows have one each, as LSTM gates do.
    """

    levels: Tensor
    scale: Tensor

    @property
    def value(self) -> Tensor:
        """The weight in float32; equal to what Brevitas's quant_weight returns."""
        return self.levels.float() * self.scale

    @property
    def quantized(self) -> bool:
        return self.levels.dtype == torch.int8
