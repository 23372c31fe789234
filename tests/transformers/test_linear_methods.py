"""Quantization methods for Linear layers beside slow references, on random BERT and GPT-2 models and plain modules."""

import copy
import logging
import sys
from collections.abc import Callable
from functools import cache, partial

import pytest
import torch
from small_transformers import CONFIGS, float_model, ids, logits, loss
from torch import Tensor, nn

from core.errors import InputError
from core.transformers import linear_methods
from core.transformers.linear_methods import (
    bnb_int8,
    bnb_nf4,
    dynamic_int8,
    finish_qat,
    prepare_qat,
    prepare_qlora,
    restore,
    stored_tensors,
)

Method = Callable[[nn.Module], nn.Module]

# The NormalFloat levels as the QLoRA paper prints them in its appendix E.
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
TARGETS = {"bert": ("query", "key", "value"), "gpt2": ("c_attn",)}


def trained_qat(model: nn.Module) -> nn.Module:
    prepared = prepare_qat(model).train()
    loss(prepared)
    return finish_qat(prepared)


def qlora(kind: str) -> Method:
    """LoRA as after some training: its B matrices, zero at the start, are not."""

    def method(model: nn.Module) -> nn.Module:
        torch.manual_seed(1)
        own = prepare_qlora(model, targets=TARGETS[kind])
        for name, parameter in own.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.01)
        return own.eval()

    return method


def methods(kind: str) -> dict[str, tuple[Method, Method, float]]:
    """Name -> (method, what restores it, the largest relative error of the logits)."""
    return {
        "float": (copy.deepcopy, copy.deepcopy, 0.0),
        "dynamic": (dynamic_int8, dynamic_int8, 0.1),
        "qat": (trained_qat, prepare_qat, 0.05),
        "int8": (bnb_int8, bnb_int8, 0.03),
        "nf4": (bnb_nf4, bnb_nf4, 0.3),
        "nf4-single": (single := partial(bnb_nf4, double_quant=False), single, 0.3),
        "qlora": (qlora(kind), partial(prepare_qlora, targets=TARGETS[kind]), 0.4),
    }


@cache
def made(kind: str, method: str) -> nn.Module:
    return methods(kind)[method][0](float_model(kind))


each_kind = pytest.mark.parametrize("kind", CONFIGS)
each_method = pytest.mark.parametrize("method", methods("bert"))
quantized = pytest.mark.parametrize("method", [name for name in methods("bert") if name != "float"])


def plain(inputs: int = 64, outputs: int = 32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, outputs)).eval()


def weight_of(model: nn.Module, inputs: int = 64) -> Tensor:
    """The (out, in) matrix that a one-layer model multiplies with, read off from its outputs."""
    with torch.no_grad():
        return (model(torch.eye(inputs)) - model(torch.zeros(1, inputs))).t()


def size(model: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in stored_tensors(model).values())


@each_kind
@each_method
def test_outputs_stay_close_and_the_float_model_is_left_alone(kind: str, method: str) -> None:
    before = {name: value.clone() for name, value in float_model(kind).state_dict().items()}
    exact, out = logits(float_model(kind)), logits(made(kind, method))
    error = ((out - exact).norm() / exact.norm()).item()
    assert error <= methods(kind)[method][2]
    assert (error > 0) == (method != "float")
    after = float_model(kind).state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@each_kind
@each_method
def test_a_restored_model_has_equal_outputs(kind: str, method: str) -> None:
    model = made(kind, method)
    expected = logits(model)
    tensors = {name: tensor.clone() for name, tensor in stored_tensors(model).items()}
    other = methods(kind)[method][1](float_model(kind, seed=9))
    assert torch.equal(logits(restore(other, tensors)), expected)
    again = stored_tensors(other)
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


@each_kind
@quantized
def test_what_is_stored_is_smaller_and_evaluation_does_not_change_it(kind: str, method: str) -> None:
    model = made(kind, method)
    assert size(model) < 0.75 * size(float_model(kind))
    before = {name: tensor.clone() for name, tensor in stored_tensors(model).items()}
    logits(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in stored_tensors(model).items())


@each_kind
def test_nothing_but_linear_layers_is_quantized(kind: str) -> None:
    stored = stored_tensors(made(kind, "int8"))
    whole = {name for name, tensor in stored.items() if tensor.dtype == torch.float32}
    floats = dict(float_model(kind).named_parameters())
    assert {name for name in floats if "embed" in name or "wte" in name or "norm" in name.lower()} <= whole
    assert {name for name in floats if name.startswith(("classifier", "score"))} <= whole
    assert not any(name.endswith(("query.weight", "c_attn.weight", "c_fc.weight")) for name in whole)


@pytest.mark.parametrize("method", ["qat", "int8", "nf4", "qlora"])
def test_a_document_is_predicted_alike_in_every_batch(method: str) -> None:
    model = made("bert", method)
    torch.testing.assert_close(logits(model)[:1], logits(model, ids()[:1]), rtol=1e-3, atol=2e-3)


def test_a_dynamic_range_depends_on_the_batch() -> None:
    model, x = dynamic_int8(plain()), torch.randn(3, 64)
    with torch.no_grad():
        alone, beside = model(x), model(torch.cat([x, torch.full((1, 64), 50.0)]))[:3]
    assert (alone - beside).abs().max() > 0.01


def test_dynamic_weights_and_inputs_lie_within_half_a_step() -> None:
    model = plain()
    x = torch.randn(100, 64, generator=torch.Generator().manual_seed(0))
    weight = model[0].weight.detach()
    step = weight.abs().max() / 127.5
    levels = stored_tensors(dynamic_int8(model))["0.weight"]
    assert (levels.float() * step - weight).abs().max() <= step / 2 * 1.02
    with torch.no_grad():
        error = (dynamic_int8(model)(x) - model(x)).abs()
    input_step = (x.max() - x.min()) / 127  # torch takes 7 bits for inputs, so that sums cannot overflow
    bound = x.abs().sum(1, keepdim=True) * step / 2 + (weight.abs().sum(1) + 64 * step) * input_step / 2
    assert (error <= bound * 1.02).all()
    assert error.max() > 0


def test_torch_quantizes_dynamically_while_it_can_and_torchao_after_that(monkeypatch: pytest.MonkeyPatch) -> None:
    assert linear_methods.dynamic_backend() == "torch.ao"
    monkeypatch.delattr(torch.ao.quantization, "quantize_dynamic")
    assert linear_methods.dynamic_backend() == "torchao"


@each_kind
def test_torchao_quantizes_and_restores_too(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.ao.quantization, "quantize_dynamic")
    model, exact = dynamic_int8(float_model(kind)), logits(float_model(kind))
    out = logits(model)
    assert 0 < (out - exact).norm() / exact.norm() < 0.05
    tensors = {name: tensor.clone() for name, tensor in stored_tensors(model).items()}
    assert sum(tensor.nbytes for tensor in tensors.values()) < 0.75 * size(float_model(kind))
    other = restore(dynamic_int8(float_model(kind, seed=9)), tensors)
    assert torch.equal(logits(other), out)


@pytest.mark.parametrize(
    ("module", "method", "message"),
    [
        ("bitsandbytes", bnb_int8, "needs bitsandbytes: pip install"),
        ("bitsandbytes", bnb_nf4, "needs bitsandbytes: pip install"),
        ("bitsandbytes", prepare_qlora, "needs bitsandbytes: pip install"),
        ("torchao.quantization", dynamic_int8, "needs torchao"),
    ],
)
def test_a_missing_package_is_named(module: str, method: Method, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.ao.quantization, "quantize_dynamic")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=message):
        method(plain())


@pytest.mark.parametrize("method", [dynamic_int8, prepare_qat, bnb_int8, bnb_nf4])
def test_a_model_without_float_linear_layers_is_refused(method: Method) -> None:
    for model in (nn.Sequential(nn.Embedding(3, 2)), bnb_nf4(plain())):
        with pytest.raises(InputError, match="no float Linear layer"):
            method(model)


def test_nf4_takes_the_nearest_published_level_of_each_block_of_64() -> None:
    model = plain(inputs=128)
    stored = stored_tensors(bnb_nf4(model, double_quant=False))
    blocks = model[0].weight.detach().reshape(-1, 64)
    expected = []
    for block in blocks.tolist():
        largest = max(abs(value) for value in block)
        expected.append([largest * min(NF4, key=lambda level: abs(level - value / largest)) for value in block])
    read = weight_of(bnb_nf4(model, double_quant=False), inputs=128)
    torch.testing.assert_close(read, torch.tensor(expected).reshape(32, 128), rtol=1e-5, atol=1e-6)
    assert stored["0.weight"].nbytes == 32 * 128 / 2
    torch.testing.assert_close(stored["0.weight.scale"], blocks.abs().amax(dim=1))


def test_double_quantization_moves_scales_a_little_and_stores_them_in_a_byte() -> None:
    model = plain(inputs=128)
    single, double = bnb_nf4(model, double_quant=False), bnb_nf4(model)
    one, two = weight_of(single, inputs=128), weight_of(double, inputs=128)
    assert 0 < (one - two).norm() / one.norm() < 0.02
    assert stored_tensors(double)["0.weight.scale"].dtype == torch.uint8
    assert size(double) < size(single)


def test_llm_int8_rounds_each_row_to_127ths_of_its_largest_weight() -> None:
    model = plain()
    stored = stored_tensors(bnb_int8(model))
    weight = model[0].weight.detach().half().float()
    scale = weight.abs().amax(dim=1, keepdim=True)
    assert (stored["0.weight"].float() - 127 * weight / scale).abs().max() <= 0.5 + 1e-3
    torch.testing.assert_close(stored["0.weight.scale"], scale[:, 0])


def test_llm_int8_keeps_outliers_out_of_the_scale_of_the_rest() -> None:
    model, x = plain(), torch.randn(20, 64, generator=torch.Generator().manual_seed(0))
    x[:, 5] = 300.0
    with torch.no_grad():
        exact, out = model(x), bnb_int8(model)(x)
    step = 300 / 127  # of the inputs, had the outlier been quantized with them
    assert (out - exact).abs().max() < 0.1 * step


def test_bitsandbytes_says_nothing_about_each_call(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        bnb_int8(plain())(torch.randn(2, 64))
    assert caplog.records == []


@each_kind
def test_only_lora_and_the_head_are_trained(kind: str) -> None:
    model = prepare_qlora(float_model(kind), r=4, targets=TARGETS[kind]).train()
    loss(model).backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == trained
    parts = [*TARGETS[kind], "classifier", "score"]
    assert all("lora_" in name or name.split(".")[0] in parts for name in trained)
    assert sum("lora_A" in name for name in trained) == 2 * len(TARGETS[kind])
    assert any(not torch.equal(p.grad, torch.zeros_like(p)) for n, p in model.named_parameters() if "lora_B" in n)


def test_lora_starts_as_the_nf4_model_and_learns() -> None:
    model = prepare_qlora(float_model("bert"), targets=TARGETS["bert"])
    assert torch.equal(logits(model.eval()), logits(made("bert", "nf4")))
    frozen = {name: tensor.clone() for name, tensor in stored_tensors(model).items() if "base_layer" in name}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    first = loss(model).item()
    for _ in range(15):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    assert loss(model).item() < 0.7 * first
    assert frozen
    assert all(torch.equal(stored_tensors(model)[name], tensor) for name, tensor in frozen.items())


def test_the_named_layers_stay_float_and_are_trained() -> None:
    model = prepare_qlora(float_model("bert"), trained=("pooler", "classifier"))
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad and "lora_" not in name}
    assert names == {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}


def test_a_target_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"no layer is called query, value: the names here are 0"):
        prepare_qlora(plain(), targets=("value", "query"))


def test_qat_needs_a_training_batch_and_trains_every_linear_layer() -> None:
    prepared = prepare_qat(float_model("bert")).train()
    with pytest.raises(InputError, match=r"attention\.self\.query has seen no training batch"):
        finish_qat(prepared)
    loss(prepared).backward()
    idle = [name for name, parameter in prepared.named_parameters() if parameter.grad is None]
    assert idle == []
    assert torch.equal(logits(finish_qat(prepared)), logits(prepared.eval()))


def test_tensors_of_another_method_or_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"0\.weight\.scale is missing"):
        restore(bnb_int8(plain()), stored_tensors(plain()))
    with pytest.raises(InputError, match=r"0\.weight\.scale is not known"):
        restore(plain(), stored_tensors(bnb_int8(plain())))
    with pytest.raises(InputError, match=r"0\.weight is \(16, 64\) torch\.int8, not \(32, 64\) torch\.int8"):
        restore(bnb_int8(plain()), stored_tensors(bnb_int8(plain(outputs=16))))


def test_tied_and_shared_layers_are_stored_once_and_stay_one() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(64, 64)
            self.second = self.first
            self.embedding = nn.Embedding(9, 64)
            self.table = nn.Parameter(torch.empty(0))
            self.table = self.embedding.weight

    for method in (copy.deepcopy, dynamic_int8, prepare_qat, bnb_int8, bnb_nf4):
        model = method(Twice())
        assert model.first is model.second
        names = set(stored_tensors(model))
        assert not any(name.startswith("second") for name in names)
        assert len(names & {"table", "embedding.weight"}) == 1
