"""Transformers so small that fine-tuning takes a second, and a base folder of a tiny BERT."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import tiny
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification

from core.transformers import transformer_pipeline
from core.transformers.transformer_config import Shape, TransformerEvaluation

SHAPE = Shape(layers=1, width=16, heads=2, vocabulary_size=320)
RUN = {"max_epochs": 2, "batch_size": 16, "learning_rate": 0.01}


def specify_gpt2(corpus: object, method: str = "float", **settings: Any) -> TransformerEvaluation:
    options = {"base": "scratch", "shape": SHAPE, "run": RUN, **settings}
    return transformer_pipeline.specify(str(corpus), "gpt2", method, **options)  # type: ignore[arg-type]


def specify_bert(corpus: object, base: Path, method: str = "float", **settings: Any) -> TransformerEvaluation:
    options = {"base": str(base), "run": RUN | {"max_epochs": 6}, **settings}
    return transformer_pipeline.specify(str(corpus), "bert", method, **options)  # type: ignore[arg-type]


def write_bert(folder: Path, classes: int = 2) -> Path:
    """Save a random tiny BERT with a word-level tokenizer, as transformers reads it."""
    folder.mkdir()
    words = sorted({*tiny.COMMON, *(word for group in tiny.WORDS.values() for word in group)})
    vocabulary = {token: place for place, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
        initializer_range=0.2,
        num_labels=classes,
    )
    model = BertForSequenceClassification(config)
    (folder / "config.json").write_text(config.to_json_string(use_diff=False))
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **names}))
    return folder
