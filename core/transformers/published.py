"""What the two reports on transformers published: their tables, as constants with their source named.

Shares are 0 to 1, sizes in MB, latencies in ms; None is what a report does not say. Their bases are not always ours.
"""

from dataclasses import dataclass

from core.transformers.transformer_config import Method, TransformerKind

Scores = tuple[float, float, float]


@dataclass(frozen=True)
class Published:
    """One row of a report's table: `Published("qat", "QAT", 0.9305, 0.8698)`; `time_ms` is in the report's unit."""

    method: Method
    name: str
    accuracy: float
    macro_f1: float
    time_ms: float
    macro_precision: float | None = None
    macro_recall: float | None = None
    size_mb: float | None = None


@dataclass(frozen=True)
class Report:
    """A report's table, float first: on `n` test documents of a corpus, for a fine-tuned `base`.

    `time_of` says what the times are of: they may be compared with each other, not with those of another machine.
    """

    kind: TransformerKind
    corpus: str
    base: str
    source: str
    n: int
    time_of: str
    rows: tuple[Published, ...]

    @property
    def reference(self) -> Published:
        return self.rows[0]


# Tables 2 to 5 of the report on AG News: precision, recall and F1 of each class.
AG_NEWS = ("World", "Sports", "Business", "Sci/Tech")
CLASS_SCORES: dict[Method, tuple[Scores, ...]] = {
    "float": (
        *((0.9680, 0.9484, 0.9581), (0.9928, 0.9811, 0.9869)),
        *((0.9030, 0.9347, 0.9186), (0.9239, 0.9237, 0.9238)),
    ),
    "int8-scratch": (
        *((0.9671, 0.9479, 0.9574), (0.9925, 0.9811, 0.9867)),
        *((0.8961, 0.9279, 0.9117), (0.9233, 0.9332, 0.9282)),
    ),
    "int8-bnb": (
        *((0.9676, 0.9484, 0.9579), (0.9928, 0.9811, 0.9869)),
        *((0.9020, 0.9337, 0.9176), (0.9268, 0.9263, 0.9265)),
    ),
    "nf4-bnb": (
        *((0.9637, 0.9458, 0.9547), (0.9909, 0.9784, 0.9846)),
        *((0.8975, 0.9295, 0.9132), (0.9246, 0.9253, 0.9249)),
    ),
}
REPORTS: dict[TransformerKind, Report] = {
    "bert": Report(
        "bert",
        "emotion",
        "google-bert/bert-base-uncased",
        "S. Kachhi, Model Quantization for Efficient Emotion Classification, 20 November 2025, Table 1",
        2000,
        "all test documents",
        (
            Published("float", "Reference Model", 0.9325, 0.8762, 13_040),
            Published("dynamic-int8", "Post-Training Quant.", 0.9325, 0.8762, 450_130),
            Published("qat", "Quant-Aware Training", 0.9305, 0.8698, 12_780),
            Published("qlora", "QLoRA", 0.9205, 0.8700, 13_520),
        ),
    ),
    "gpt2": Report(
        "gpt2",
        "ag-news",
        "GPT-2 (124.4 million parameters)",
        "Fine-tuning and Post-Training Quantization, Advanced NLP Report 2, 10 October 2025, Table 1",
        7600,
        "a batch",
        (
            Published("float", "Baseline FP32", 0.9459, 0.9458, 94.13, 0.9458, 0.9459, 474.71),
            Published("int8-scratch", "INT8 Scratch", 0.9459, 0.9458, 96.00, 0.9458, 0.9459, 118.68),
            Published("int8-bnb", "INT8 BnB", 0.9459, 0.9458, 247.94, 0.9458, 0.9459, 168.36),
            Published("nf4-bnb", "NF4 BnB", 0.9458, 0.9457, 56.37, 0.9456, 0.9458, 127.86),
        ),
    ),
}
