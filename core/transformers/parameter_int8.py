"""INT8 from scratch: every parameter tensor on 256 levels of its own, made float again once, when it is loaded.

Equations 1 to 4 of the GPT-2 report: scale = (max W - min W) / (q_max - q_min), zero_point = q_min - min W / scale,
levels = round(W / scale + zero_point), and back W = (levels - zero_point) * scale. As printed there, the zero point
is not rounded: the smallest value falls on -128, the largest on 127, and no level need be exactly zero. `symmetric`
is the usual linear mapping: zero_point = 0 and scale = max|W| / 127, so that zero stays zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import InputError

Q_MIN, Q_MAX = -128, 127


@dataclass(frozen=True)
class Quantized:
    """int8 levels of any shape; a level's value is (level - zero_point) * scale."""

    levels: Tensor
    scale: float
    zero_point: float


def quantize_tensor(x: Tensor, symmetric: bool) -> Quantized:
    """Return a float tensor of any shape on 8-bit levels, at most half a `scale` away from every value.

    A constant tensor is kept exactly; an empty one stays empty. Raises InputError for NaN, infinity and integers.
    """
    values = _checked(x)
    scale, zero_point = _symmetric(values) if symmetric else _affine(values)
    levels = (values / scale + zero_point).round().clamp(Q_MIN, Q_MAX)
    return Quantized(levels.to(torch.int8), scale, zero_point)


def dequantize(quantized: Quantized) -> Tensor:
    """Return the float32 values of the levels, in their shape."""
    return ((quantized.levels.double() - quantized.zero_point) * quantized.scale).float()


def quantize_parameters(model: nn.Module, symmetric: bool) -> dict[str, Tensor]:
    """Return what is stored of a model: each parameter's int8 levels under its name, tied ones once.

    Beside them `<name>.scale` and, unless `symmetric`, `<name>.zero_point` (float64, no dimensions). Buffers are not
    parameters: the model's constructor makes them. Raises InputError with the parameter's name.
    """
    tensors = {}
    for name, parameter in model.named_parameters():
        try:
            quantized = quantize_tensor(parameter.detach(), symmetric)
        except InputError as error:
            raise InputError(f"parameter {name}: {error}") from None
        tensors[name] = quantized.levels
        tensors[f"{name}.scale"] = torch.tensor(quantized.scale, dtype=torch.float64)
        if not symmetric:
            tensors[f"{name}.zero_point"] = torch.tensor(quantized.zero_point, dtype=torch.float64)
    return tensors


def load_parameters(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Set a model's parameters to the values of what `quantize_parameters` gave for the same architecture.

    Raises InputError, before anything is changed, if a parameter is missing, has another shape, or is left over.
    """
    parameters = dict(model.named_parameters())
    parts = {f"{name}{part}" for name in parameters for part in ("", ".scale", ".zero_point")}
    faults = [f"{name} is not a parameter of this model" for name in sorted(set(tensors) - parts)]
    for name, parameter in parameters.items():
        if name not in tensors or f"{name}.scale" not in tensors:
            faults.append(f"{name} is missing")
        elif tensors[name].shape != parameter.shape:
            faults.append(f"{name} has shape {tuple(tensors[name].shape)}, the model {tuple(parameter.shape)}")
    if faults:
        raise InputError(f"these are not this model's INT8 parameters: {'; '.join(faults)}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            zero_point = tensors.get(f"{name}.zero_point", torch.tensor(0.0))
            values = dequantize(Quantized(tensors[name], float(tensors[f"{name}.scale"]), float(zero_point)))
            parameter.copy_(values)


def _checked(x: Tensor) -> Tensor:
    if not x.is_floating_point():
        raise InputError(f"a tensor of {x.dtype} cannot be quantized: give floating-point values")
    unusable = int((~x.isfinite()).sum())
    if unusable:
        raise InputError(f"{unusable} of {x.numel()} values are NaN or infinite: give finite values")
    return x.detach().double()


def _symmetric(values: Tensor) -> tuple[float, float]:
    largest = float(values.abs().max()) if values.numel() else 0.0
    return largest / Q_MAX or 1.0, 0.0


def _affine(values: Tensor) -> tuple[float, float]:
    low, high = (float(values.min()), float(values.max())) if values.numel() else (0.0, 0.0)
    scale = (high - low) / (Q_MAX - Q_MIN)
    if scale == 0:  # a constant c is level 0, one unit of |c| away from the zero point
        return abs(low) or 1.0, float(-(low > 0) + (low < 0))
    return scale, Q_MIN - low / scale
