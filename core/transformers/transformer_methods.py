"""From a float transformer to the tensors of a compressed one, and from these back to a model that runs.

What is evaluated is always what was read back, so that a size in MB and an accuracy are of the same tensors.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

from core.errors import InputError
from core.transformers import linear_methods, parameter_int8
from core.transformers.transformer_config import TransformerVariant

Tune = Callable[[nn.Module], None]


def compress(variant: TransformerVariant, model: nn.Module, tune: Tune) -> dict[str, torch.Tensor]:
    """Return what is stored of a variant; `tune` trains what a method prepares, if it trains.

    `model` is the fine-tuned float model, for QLoRA the base. Raises InputError where this machine cannot run it.
    """
    if variant.method == "int8-scratch":
        return parameter_int8.quantize_parameters(model, variant.mapping == "symmetric")
    prepared = _prepare(variant, model)
    if variant.tuning is not None:
        tune(prepared)
    finished = linear_methods.finish_qat(prepared) if variant.method == "qat" else prepared
    return linear_methods.stored_tensors(finished)


def restore(variant: TransformerVariant, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """Return the model that stored tensors make of any float model of the architecture.

    Raises InputError where this machine cannot run it.
    """
    if variant.method == "int8-scratch":
        parameter_int8.load_parameters(model, tensors)
        return model.eval()
    return linear_methods.restore(_prepare(variant, model), tensors).eval()


def _prepare(variant: TransformerVariant, model: nn.Module) -> nn.Module:
    try:
        return _PREPARE[variant.method](model)
    except (ImportError, MemoryError, torch.OutOfMemoryError) as error:
        raise InputError(f"{variant.method} cannot run here: {error}") from error


_PREPARE: dict[str, Callable[[nn.Module], nn.Module]] = {
    "dynamic-int8": linear_methods.dynamic_int8,
    "qat": linear_methods.prepare_qat,
    "qlora": partial(linear_methods.prepare_qlora, trained=("pooler", "classifier")),
    "int8-bnb": linear_methods.bnb_int8,
    "nf4-bnb": linear_methods.bnb_nf4,
}


def facts(variant: TransformerVariant) -> dict[str, str]:
    """Return what else decides a method's numbers: which library quantizes dynamically."""
    return {"backend": linear_methods.dynamic_backend()} if variant.method == "dynamic-int8" else {}
