"""Variants as they are stored: named tensors and JSON, integer weights packed to as many bits as their levels need."""

from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from core.config import ModelSpec
from core.quantization.engine import LSTM_SITES, MATRICES, Variant
from core.quantization.levels import Matrix, Quantizer

GROUP = 8  # levels in a word; as 8 levels of b bits are b bytes, words of any b <= 8 end on a byte


def pack(levels: Tensor) -> tuple[Tensor, int]:
    """Return integer levels of any shape as bytes (uint8, 1-d), and the bits that each takes: 1 to 8."""
    values = levels.cpu().numpy().ravel().astype(np.int64)
    bits = next(b for b in range(1, 9) if -(1 << (b - 1)) <= values.min() and values.max() < 1 << (b - 1))
    padded = np.zeros(-(-len(values) // GROUP) * GROUP, np.uint64)
    padded[: len(values)] = values + (1 << (bits - 1))
    shifts = np.arange(GROUP, dtype=np.uint64) * np.uint64(bits)
    words = (padded.reshape(-1, GROUP) << shifts).sum(axis=1, dtype=np.uint64)
    return torch.from_numpy(words.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :bits].flatten()), bits


def unpack(data: Tensor, bits: int, shape: list[int]) -> Tensor:
    """Return the int8 levels of `pack`."""
    words = np.zeros((len(data) // bits, 8), np.uint8)
    words[:, :bits] = data.numpy().reshape(-1, bits)
    whole = words.view("<u8")
    levels = np.empty((len(words), GROUP), np.int8)
    for place in range(GROUP):
        part = whole[:, 0] >> np.uint64(place * bits) & np.uint64((1 << bits) - 1)
        levels[:, place] = part.astype(np.int16) - (1 << (bits - 1))
    return torch.from_numpy(levels.ravel()[: int(np.prod(shape))].reshape(shape))


def to_tensors(variant: Variant) -> tuple[dict[str, Tensor], dict]:
    """Return a variant as named tensors and JSON, the form in which it is stored."""
    tensors, packed = {"bias": variant.bias, "head_bias": variant.head_bias}, {}
    for name in MATRICES:
        if matrix := getattr(variant, name):
            levels = matrix.levels
            if matrix.quantized:
                levels, bits = pack(levels)
                packed[name] = {"bits": bits, "shape": list(matrix.levels.shape)}
            tensors |= {f"{name}.levels": levels, f"{name}.scale": matrix.scale}
    named = {"state_input": variant.state_input, "label_input": variant.label_input, **variant.sites}
    quantizers = {site: asdict(quantizer) for site, quantizer in named.items() if quantizer}
    return tensors, {"model": variant.spec.model_dump(mode="json"), "quantizers": quantizers, "packed": packed}


def from_tensors(tensors: dict[str, Tensor], meta: dict) -> Variant:
    """Read `to_tensors` back."""
    quantizers = {site: Quantizer(**values) for site, values in meta["quantizers"].items()}

    def matrix(name: str) -> Matrix:
        levels, form = tensors[f"{name}.levels"], meta["packed"].get(name)
        return Matrix(unpack(levels, **form) if form else levels, tensors[f"{name}.scale"])

    return Variant(
        ModelSpec.model_validate(meta["model"]),
        embedding=matrix("embedding"),
        input=matrix("input"),
        recurrent=matrix("recurrent"),
        bias=tensors["bias"],
        head=matrix("head"),
        head_bias=tensors["head_bias"],
        label=matrix("label") if "label.levels" in tensors else None,
        sites={site: quantizer for site, quantizer in quantizers.items() if site in LSTM_SITES},
        state_input=quantizers.get("state_input"),
        label_input=quantizers.get("label_input"),
    )


def stored_bytes(variant: Variant) -> dict[str, int]:
    """Return the bytes that each weight and bias takes as stored, scales included, without the file's header."""
    sizes: dict[str, int] = {}
    for name, tensor in to_tensors(variant)[0].items():
        part = name.partition(".")[0]
        sizes[part] = sizes.get(part, 0) + tensor.nbytes
    return sizes
