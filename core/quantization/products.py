"""Matrix products of integer levels, exact as long as sums stay below 2**24: in float32, or in int8 on the CPU."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

ZERO_POINT = 128

Product = Callable[[Tensor, Tensor], Tensor]


def float_product(levels: Tensor, unit: float) -> Product:
    """Multiply by the transpose of `levels` (v, H) times `unit`, into the buffer."""
    right = levels.to(torch.float32 if levels.dtype == torch.int8 else levels.dtype).T

    def multiply(entered: Tensor, buffer: Tensor) -> Tensor:
        out = buffer[: len(entered) * right.shape[1]].view(len(entered), right.shape[1])
        torch.mm(entered, right, out=out)
        return out if unit == 1 else out.mul_(unit)

    return multiply


def unsigned(levels: Tensor) -> Tensor:
    """Levels in -128..127 as bytes, ZERO_POINT at 0."""
    return levels.add(ZERO_POINT).to(torch.uint8)


def integer_product(levels: Tensor, unit: float | Tensor) -> Product:
    """Do as `float_product` for int8 `levels` and `unsigned` entered levels, in the CPU's int8 instructions.

    Sums are exact in both; here `unit` may be one for each row, (v,), and the buffer is not used. oneDNN's operator
    takes the left side's zero point out again.
    """
    packed = torch.ops.onednn.qlinear_prepack(levels.contiguous(), None)
    scale = torch.as_tensor(unit, dtype=torch.float32).expand(len(levels)).contiguous()
    zero = torch.zeros(len(levels), dtype=torch.int32)

    def multiply(entered: Tensor, buffer: Tensor) -> Tensor:
        output: tuple[Any, ...] = (None, 1.0, 0, torch.float32, "none", [], "")
        return torch.ops.onednn.qlinear_pointwise(entered, 1.0, ZERO_POINT, packed, scale, zero, *output)

    return multiply


@cache
def integers_are_exact() -> bool:
    """Try the operator on the largest sums there are: without VNNI a CPU saturates on the way."""
    left = torch.full((16, 128), 127.0)
    left[::2] = -128
    right = torch.full((32, 128), -128, dtype=torch.int8)
    right[::2] = 127
    nothing = torch.empty(0)
    try:
        return torch.equal(integer_product(right, 1.0)(unsigned(left), nothing), left @ right.float().T)
    except (AttributeError, RuntimeError):
        return False
