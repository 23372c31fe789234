"""What the transformer reports do to the Linear layers of a model: dynamic INT8, QAT, QLoRA, LLM.int8, NF4.

Every function takes a float model, copies it and leaves it alone. GPT-2's Conv1D layers, the same product with the
matrix the other way round, become Linear layers first, so that all methods reach them. What is not a Linear layer
(embeddings, norms) stays float32, and in the bitsandbytes methods so do the `heads`, as transformers leaves them.

Dynamic INT8 takes one activation range for each call, over all documents of the batch and their padding: its
predictions depend on how documents are batched. The other methods' do not.
"""

import copy
import logging
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import InputError
from core.transformers.fake_quantization import FakeQuantLinear, Int8Linear

HEADS = ("classifier", "score")
OUTLIER_THRESHOLD = 6.0  # activations beyond it are multiplied in float16, as LLM.int8 does and transformers sets


def dynamic_backend() -> str:
    """Say who quantizes dynamically: `torch.ao` while torch has it, `torchao` after that."""
    return "torch.ao" if hasattr(torch.ao.quantization, "quantize_dynamic") else "torchao"


def dynamic_int8(model: nn.Module) -> nn.Module:
    """Return a copy whose Linear layers have int8 weights and quantize what enters them in each call.

    torch.ao: one scale for each weight matrix, 7-bit activations with one range for each call; on the CPU only.
    torchao: one scale for each row of the matrix and for each token. Raises InputError for a model on a GPU, or
    without torchao.
    """
    own = _linear_copy(model).eval()
    if dynamic_backend() == "torchao":
        return _torchao_int8(own)
    if any(parameter.is_cuda for parameter in own.parameters()):
        raise InputError("torch has dynamic INT8 kernels for the CPU only: move the model there first")
    with warnings.catch_warnings():  # torch announces that it will move quantize_dynamic to torchao
        warnings.simplefilter("ignore")
        return _exchange(own, nn.Linear, _dynamic_layer)


def prepare_qat(model: nn.Module) -> nn.Module:
    """Return a copy to be trained as usual: its Linear layers see weights and inputs as INT8 would leave them."""
    return _exchange(_linear_copy(model), nn.Linear, FakeQuantLinear.of)


def finish_qat(model: nn.Module) -> nn.Module:
    """Return the INT8 model of a trained `prepare_qat` model: its predictions are the same.

    Raises InputError if a layer has not seen a training batch.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, FakeQuantLinear) and not layer.calibrated:
            raise InputError(f"{name} has seen no training batch: train the model of prepare_qat first")
    return _exchange(copy.deepcopy(model), FakeQuantLinear, Int8Linear).eval()


def prepare_qlora(
    model: nn.Module,
    r: int = 16,
    alpha: int = 32,
    dropout: float = 0.1,
    targets: Collection[str] = ("query", "key", "value"),
    trained: Collection[str] = HEADS,
) -> nn.Module:
    """Return a copy with frozen NF4 Linear layers, trainable LoRA on `targets`, and `trained` layers left float.

    `targets` and `trained` are last parts of module names; `requires_grad` is set on LoRA and `trained` alone. The
    trained model is used as it is. Raises InputError if a target is not there.
    """
    own = bnb_nf4(model, heads=trained)
    present = {_last(name) for name, layer in own.named_modules() if _is_bitsandbytes(layer)}
    if missing := sorted(set(targets) - present):
        raise InputError(f"no layer is called {', '.join(missing)}: the names here are {', '.join(sorted(present))}")
    _add_lora(own, r, alpha, dropout, targets)
    for name, module in own.named_modules():
        if _last(name) in trained:
            module.requires_grad_(True)
    return own


def bnb_int8(model: nn.Module, heads: Collection[str] = HEADS) -> nn.Module:
    """Return a copy with bitsandbytes LLM.int8 layers: a scale for each weight row and each token, outliers apart."""
    bnb = _bitsandbytes()

    def convert(layer: nn.Linear) -> nn.Module:
        new = bnb.nn.Linear8bitLt(
            layer.in_features,
            layer.out_features,
            layer.bias is not None,
            has_fp16_weights=False,
            threshold=OUTLIER_THRESHOLD,
        )
        new.weight = bnb.nn.Int8Params(layer.weight.detach().cpu(), requires_grad=False).to(layer.weight.device)
        new.bias = layer.bias
        return new

    return _exchange(_linear_copy(model), nn.Linear, convert, heads).eval()


def bnb_nf4(model: nn.Module, double_quant: bool = True, heads: Collection[str] = HEADS) -> nn.Module:
    """Return a copy with bitsandbytes NF4 layers: 4 bits a weight, a scale for each 64, these in 8 bits if doubled.

    The arithmetic is float32 on the dequantized weights, on every machine: bitsandbytes's own kernel for CPUs with
    AVX512-BF16 computes in bfloat16 and, for that, repacks the weights in place, with a loss.
    """
    bnb = _bitsandbytes()

    def convert(layer: nn.Linear) -> nn.Module:
        new = bnb.nn.Linear4bit(
            layer.in_features, layer.out_features, layer.bias is not None, torch.float32, double_quant, "nf4"
        )
        new.support_avx512bf16_for_cpu = False
        weight = bnb.nn.Params4bit(
            layer.weight.detach(), compress_statistics=double_quant, quant_type="nf4", module=new
        )
        new.weight, new.bias = weight.to(layer.weight.device), layer.bias
        return new

    return _exchange(_linear_copy(model), nn.Linear, convert, heads).eval()


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return what a file must hold of a float model or of what a function here made, by name; tied tensors once.

    Their bytes are the model's size: integer weights as int8, NF4 ones two to a byte. The NF4 levels and the 8-bit
    map of its scales are constants of the format and not stored.
    """
    return {name: tensor.detach() for name, tensor in _tensors(model).items()}


def restore(model: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return a model with what `stored_tensors` gave: its outputs are equal to the stored model's.

    `model`, which is changed, is what the same function makes of any float model of the same architecture; for QAT
    that of `prepare_qat`. Raises InputError if names, shapes or types do not match.
    """
    model = _exchange(model, FakeQuantLinear, Int8Linear)
    own = _tensors(model)
    faults = [f"{name} is {'missing' if name in own else 'not known'}" for name in sorted(own.keys() ^ tensors.keys())]
    for name in sorted(own.keys() & tensors.keys()):
        given, wanted = (f"{tuple(x.shape)} {x.dtype}" for x in (tensors[name], own[name]))
        if given != wanted:
            faults.append(f"{name} is {given}, not {wanted}")
    if faults:
        raise InputError(f"the stored tensors are not of this model and method: {'; '.join(faults)}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
    for name, layer in model.named_modules():
        if _is_packed(layer):
            _pack(layer, {part: own[f"{name}.{part}"] for part in _parts(layer)})
    return model.eval()


def _linear_copy(model: nn.Module) -> nn.Module:
    """A copy in which each Conv1D is the Linear layer that computes the same. Raises InputError if neither is there."""
    from transformers.pytorch_utils import Conv1D

    own = _exchange(copy.deepcopy(model), Conv1D, _transposed)
    if not any(type(layer) is nn.Linear for layer in own.modules()):
        raise InputError("the model has no float Linear layer: give a float model, not one that is quantized already")
    return own


def _transposed(layer: Any) -> nn.Linear:
    inputs, outputs = layer.weight.shape
    new = nn.Linear(inputs, outputs, device=layer.weight.device)
    new.weight, new.bias = nn.Parameter(layer.weight.detach().t().contiguous()), layer.bias
    return new.train(layer.training)


def _exchange(
    model: nn.Module, kind: type[nn.Module], make: Callable[[Any], nn.Module], kept: Collection[str] = ()
) -> nn.Module:
    """Put what `make` gives in the place of each layer of exactly this kind, shared ones once, except inside `kept`."""
    made: dict[nn.Module, nn.Module] = {}
    for name, layer in list(model.named_modules(remove_duplicate=False)):
        if type(layer) is kind and not set(name.split(".")) & set(kept):
            if layer not in made:
                made[layer] = make(layer)
            model.set_submodule(name, made[layer])
    return model


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _dynamic_layer(layer: nn.Linear) -> nn.Module:
    # One layer at a time, as torch would leave a layer that appears twice in a model float at its second place.
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(layer), {nn.Linear}, torch.qint8)[0]


def _torchao_int8(own: nn.Module) -> nn.Module:
    try:
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
    except ImportError as error:
        raise InputError(f"dynamic INT8 needs torchao with this torch: pip install torchao ({error})") from None
    quantize_(own, Int8DynamicActivationInt8WeightConfig())
    return own


def _add_lora(own: nn.Module, r: int, alpha: int, dropout: float, targets: Collection[str]) -> None:
    """Give the target layers LoRA in place, initialized from torch's global generator, and freeze the rest."""
    from peft import LoraConfig, inject_adapter_in_model

    own.is_loaded_in_4bit = True  # type: ignore[assignment]
    config = LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets))
    inject_adapter_in_model(config, own)


def _bitsandbytes() -> Any:
    try:
        import bitsandbytes
    except ImportError as error:
        raise InputError(f"this method needs bitsandbytes: pip install bitsandbytes ({error})") from None
    # It logs a line for each call of an INT8 layer whose input is float32.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    return bitsandbytes


def _is_bitsandbytes(layer: nn.Module) -> bool:
    return type(layer).__module__.startswith("bitsandbytes.")


def _is_packed(layer: nn.Module) -> bool:
    """Whether torch keeps the layer's weight in a form of its kernel."""
    return type(layer).__module__.startswith("torch.ao.nn.quantized.dynamic")


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every tensor that decides the model's outputs, tied ones under their first name."""
    tensors: dict[str, Tensor] = {}
    seen = set()
    for prefix, layer in model.named_modules():
        for part, tensor in _parts(layer).items():
            place = (tensor.data_ptr(), tensor.shape, tensor.dtype)
            if place not in seen or not tensor.numel():
                tensors[f"{prefix}.{part}".lstrip(".")] = tensor
            seen.add(place)
    return tensors


def _parts(layer: nn.Module) -> dict[str, Tensor]:
    """A layer's own tensors, without its children's: the live ones, except for a packed layer's, which are copies."""
    if _is_packed(layer):
        return _unpack(layer)
    parts: dict[str, Tensor] = {}
    for name, parameter in layer.named_parameters(recurse=False):
        parts |= _parameter_parts(name, parameter)
    if (scales := _int8_scales(layer)) is not None:
        parts["weight.scale"] = scales
    kept = {name: x for name, x in layer.named_buffers(recurse=False) if name not in layer._non_persistent_buffers_set}
    return parts | kept


def _int8_scales(layer: Any) -> Tensor | None:
    """The row scales (out,) of an LLM.int8 layer, which moves them from its weight to its state at the first call."""
    state = getattr(layer, "state", None)
    if not _is_bitsandbytes(layer) or state is None:
        return None
    return layer.weight.SCB if state.SCB is None else state.SCB


def _parameter_parts(name: str, parameter: Any) -> dict[str, Tensor]:
    if hasattr(parameter, "qdata"):  # torchao
        return {name: parameter.qdata, f"{name}.scale": parameter.scale}
    state = getattr(parameter, "quant_state", None)
    if state is None:
        return {name: parameter.data}
    scales = {"scale": state.absmax}
    if state.nested:
        scales |= {"scale.scale": state.state2.absmax, "scale.offset": state.offset}
    return {name: parameter.data} | {f"{name}.{part}": tensor for part, tensor in scales.items()}


def _unpack(layer: Any) -> dict[str, Tensor]:
    weight, bias = layer._packed_params._weight_bias()
    scale = torch.tensor(weight.q_scale(), dtype=torch.float64)
    parts = {"weight": weight.int_repr(), "weight.scale": scale}
    return parts if bias is None else parts | {"bias": bias.detach()}


def _pack(layer: Any, parts: dict[str, Tensor]) -> None:
    """Undo `_unpack`; the zero point of an int8 weight is 0 in torch."""
    weight = torch._make_per_tensor_quantized_tensor(parts["weight"], float(parts["weight.scale"]), 0)
    layer.set_weight_bias(weight, parts.get("bias"))
