"""Small random BERT and GPT-2 classifiers, and a batch for them."""

from functools import cache

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, BertConfig, GPT2Config

BERT = BertConfig(
    vocab_size=60, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96, num_labels=6
)
GPT2 = GPT2Config(
    vocab_size=60, n_embd=64, n_layer=2, n_head=2, n_positions=16, num_labels=4,
    pad_token_id=0, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
CONFIGS = {"bert": BERT, "gpt2": GPT2}


@cache
def float_model(kind: str, seed: int = 0) -> nn.Module:
    """A random classifier, never to be changed; its weights are larger than those of a new one, as after training."""
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_config(CONFIGS[kind]).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and parameter.ndim == 2:
            parameter.data.mul_(3)
    return model


def ids(seed: int = 0) -> Tensor:
    """8 documents of 12 tokens."""
    return torch.randint(3, 60, (8, 12), generator=torch.Generator().manual_seed(seed))


def logits(model: nn.Module, documents: Tensor | None = None) -> Tensor:
    """documents (B, T) -> (B, classes)."""
    documents = ids() if documents is None else documents
    with torch.no_grad():
        return model(input_ids=documents, attention_mask=torch.ones_like(documents)).logits


def loss(model: nn.Module) -> Tensor:
    return model(input_ids=ids(1), attention_mask=torch.ones_like(ids(1)), labels=torch.arange(8) % 4).loss
