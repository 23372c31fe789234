"""Settings of a transformer's result: base + fine-tuning -> method -> noise + split.

The links are shaped like those of `config`, so that the rows of both kinds of model stand in one table.
"""

from typing import Any, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from core.config import CorpusSpec, NoiseSpec, Spec, Split
from core.errors import InputError

TransformerKind = Literal["bert", "gpt2"]
Origin = Literal["hub", "folder", "wheel", "scratch"]
Method = Literal["float", "dynamic-int8", "qat", "qlora", "int8-scratch", "int8-bnb", "nf4-bnb"]
Mapping = Literal["affine", "symmetric"]
Precision = Literal["float32", "bfloat16"]

TRANSFORMER_KINDS: tuple[TransformerKind, ...] = get_args(TransformerKind)
METHODS: dict[TransformerKind, tuple[Method, ...]] = {
    "bert": ("float", "dynamic-int8", "qat", "qlora"),
    "gpt2": ("float", "int8-scratch", "int8-bnb", "nf4-bnb"),
}
METHOD_BITS: dict[Method, int] = {
    "float": 32,
    "dynamic-int8": 8,
    "qat": 8,
    "qlora": 4,
    "int8-scratch": 8,
    "int8-bnb": 8,
    "nf4-bnb": 4,
}
TUNED: Final = ("qat", "qlora")
MAX_TOKENS = 128


class SubwordSpec(Spec):
    """How text becomes subword ids: by the base's own tokenizer, special tokens included in `max_tokens`."""

    max_tokens: int = Field(MAX_TOKENS, ge=2, le=512)


class Shape(Spec):
    """A small GPT-2 architecture and the size of the byte-level BPE vocabulary learned for it."""

    layers: int = Field(4, ge=1)
    width: int = Field(192, ge=8)
    heads: int = Field(4, ge=1)
    vocabulary_size: int = Field(8192, ge=300)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width={self.width} cannot be shared by heads={self.heads}; give a multiple of it")
        return self


class TransformerModel(Spec):
    """A sequence classifier: the family whose methods it takes, and which pretrained base it starts from.

    `base` is what is really loaded, by name; `revision` its commit on the hub or the hash of its files.
    """

    kind: TransformerKind
    origin: Origin
    base: str
    revision: str = ""
    shape: Shape | None = None

    @model_validator(mode="after")
    def _scratch_has_a_shape(self) -> Self:
        if (self.origin == "scratch") != (self.shape is not None):
            raise ValueError("a model from scratch needs a shape, and only it takes one")
        return self


class FineTuning(Spec):
    """AdamW, linear warm-up and decay, early stopping on the validation loss; all parameters that have gradients."""

    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(2e-5, gt=0)
    max_epochs: int = Field(3, ge=1)
    patience: int = Field(2, ge=1)
    warmup_share: float = Field(0.1, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    precision: Precision = Field("float32", exclude_if=lambda precision: precision == "float32")
    limit: int | None = Field(None, ge=1)
    seed: int = 0


class TransformerRun(Spec):
    """Everything that decides one set of fine-tuned float weights."""

    corpus: CorpusSpec
    tokens: SubwordSpec = SubwordSpec()
    model: TransformerModel
    train: FineTuning


class TransformerVariant(Spec):
    """A fine-tuned model and how it is compressed.

    `tuning` is the training that a method itself contains: quantization-aware training goes on from the fine-tuned
    float weights, QLoRA starts from the base. `mapping` is the integer grid of INT8 from scratch. `recipe` and
    `calibration` are what an LSTM has; here they are always None.
    """

    run: TransformerRun
    method: Method = "float"
    mapping: Mapping | None = None
    tuning: FineTuning | None = None
    recipe: None = None
    calibration: None = None

    @model_validator(mode="after")
    def _parts_go_together(self) -> Self:
        check_method(self.run.model.kind, self.method)
        if (self.method in TUNED) != (self.tuning is not None):
            raise ValueError(f"methods {' and '.join(TUNED)} need a tuning, and only they take one")
        if (self.method == "int8-scratch") != (self.mapping is not None):
            raise ValueError("method int8-scratch needs a mapping, and only it takes one")
        return self


class TransformerEvaluation(Spec):
    """One number: a variant on the documents of a split, with noise, perhaps a prefix of it; as EvaluationSpec."""

    variant: TransformerVariant
    noise: NoiseSpec = NoiseSpec()
    split: Split = "test"
    limit: int | None = Field(None, ge=1)
    documents: str | None = None


def check_method(kind: TransformerKind, method: str) -> None:
    """Raise InputError for a method that a kind of model does not take."""
    if method not in METHODS[kind]:
        raise InputError(f"method {method!r} is not known for {kind}; choose one of: {', '.join(METHODS[kind])}")


def default_tuning(model: TransformerModel, method: Method = "float", **changes: Any) -> FineTuning:
    """Return how this project trains a base, or trains inside a method; `changes` override fields.

    Hub bases and folders as the two reports did (AdamW 2e-5, 3 epochs, batches of 16). The rest is chosen on
    validation splits: the small bases learn little at 2e-5, and adapters need more than whole layers.
    """
    settings: dict[str, Any] = {}
    if method == "qat":
        settings = {"learning_rate": 3e-5, "batch_size": 32}
    elif method == "qlora":
        settings = {"learning_rate": 2e-4 if model.origin == "hub" else 1e-3, "batch_size": 32}
    elif model.origin == "wheel":
        settings = {"learning_rate": 1e-4, "batch_size": 32, "max_epochs": 4, "precision": "bfloat16"}
    elif model.origin == "scratch":
        settings = {"learning_rate": 1e-3, "batch_size": 64, "precision": "bfloat16"}
    return FineTuning.model_validate(settings | changes)
