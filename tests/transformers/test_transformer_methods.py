"""Compressed and read back: every method gives a model whose predictions its stored tensors decide."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2ForSequenceClassification

from core.config import CorpusSpec
from core.errors import InputError
from core.transformers import linear_methods, transformer_methods
from core.transformers.transformer_config import (
    METHODS,
    TUNED,
    FineTuning,
    Shape,
    TransformerModel,
    TransformerRun,
    TransformerVariant,
)

IDS = torch.tensor([[1, 5, 9, 3], [7, 2, 4, 6]])
MODELS: dict[str, TransformerModel] = {
    "bert": TransformerModel(kind="bert", origin="wheel", base="x"),
    "gpt2": TransformerModel(kind="gpt2", origin="scratch", base="x", shape=Shape()),
}
PAIRS = [(kind, method) for kind, methods in METHODS.items() for method in methods if method != "float"]


def tiny_model(kind: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    if kind == "gpt2":
        config = GPT2Config(vocab_size=20, n_positions=8, n_embd=32, n_layer=1, n_head=2, pad_token_id=0)
        return GPT2ForSequenceClassification(config).eval()
    sizes = {"vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return BertForSequenceClassification(BertConfig(**sizes, intermediate_size=64)).eval()


def variant_of(kind: str, method: str) -> TransformerVariant:
    run = TransformerRun(corpus=CorpusSpec(name="x"), model=MODELS[kind], train=FineTuning())
    settings: dict[str, Any] = {"tuning": FineTuning()} if method in TUNED else {}
    settings |= {"mapping": "affine"} if method == "int8-scratch" else {}
    return TransformerVariant.model_validate({"run": run, "method": method, **settings})


def forget_nothing(model: nn.Module) -> None:
    """Stands in for training: one batch seen, no weight changed."""
    model.train()(IDS)
    model.eval()


@pytest.mark.parametrize(("kind", "method"), PAIRS)
def test_stored_tensors_decide_the_predictions(kind: str, method: str) -> None:
    model, variant = tiny_model(kind, 0), variant_of(kind, method)
    plain = model(IDS).logits
    tensors = transformer_methods.compress(variant, model, forget_nothing)
    assert sum(tensor.nbytes for tensor in tensors.values()) < sum(p.nbytes for p in model.parameters())
    restored = [transformer_methods.restore(variant, tiny_model(kind, seed), tensors)(IDS).logits for seed in (0, 1)]
    assert torch.allclose(restored[0], restored[1], atol=1e-6)
    assert torch.allclose(restored[0], plain, atol=0.2)
    assert torch.equal(model(IDS).logits, plain)


def test_a_missing_package_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(model: nn.Module) -> nn.Module:
        raise ImportError("no bitsandbytes")

    monkeypatch.setitem(transformer_methods._PREPARE, "nf4-bnb", fail)
    with pytest.raises(InputError, match="nf4-bnb cannot run here: no bitsandbytes"):
        transformer_methods.compress(variant_of("gpt2", "nf4-bnb"), tiny_model("gpt2", 0), forget_nothing)


def test_the_library_that_quantizes_dynamically_is_a_fact_of_that_method_alone() -> None:
    assert transformer_methods.facts(variant_of("bert", "dynamic-int8")) == {
        "backend": linear_methods.dynamic_backend()
    }
    assert transformer_methods.facts(variant_of("bert", "qat")) == {}
