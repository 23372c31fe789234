"""A whole generative evaluation at every width, nothing cached: python -m benchmarks.whole --corpus ag-news --json

All test documents, tokens at hand, the variant on its device: what a dial move costs where no result is stored. Where
there is a GPU it runs there (BITDIAL_DEVICE chooses), and the clock is read once the device is done.
"""

from functools import partial
from typing import Any

import torch

from benchmarks import timing
from benchmarks.engine import CORPUS, Subject
from core import pipeline, runtime
from core.config import BIT_WIDTHS, FLOAT_BITS
from core.measurement import evaluation
from core.text import inputs


def measure(corpus: str) -> dict[str, Any]:
    """Return the seconds of one evaluation by bit-width, and what was evaluated where."""
    subject = Subject(corpus)
    specs = {bits: pipeline.resolve(subject.specify("generative", bits)) for bits in (FLOAT_BITS, *BIT_WIDTHS)}
    documents = inputs.encode_documents(specs[FLOAT_BITS], None)[0]
    ready = {bits: pipeline.resident(spec.variant) for bits, spec in specs.items()}
    runs = {bits: partial(evaluation.evaluate, one.variant, documents, one.score) for bits, one in ready.items()}
    found: dict[str, Any] = {"corpus": corpus, "machine": timing.machine(), "device": str(runtime.device())}
    found |= {"documents": len(documents), "seconds": timing.medians(runs)}
    if runtime.device().type == "cuda":
        found["peak_gpu_megabytes"] = torch.cuda.max_memory_allocated() / 1e6
    return found | {"versions": runtime.versions()}


def table(found: dict[str, Any]) -> str:
    """The seconds by bit-width as a Markdown row."""
    cells = [found["corpus"], f"{found['documents']:,}", *(f"{seconds:.2f}" for seconds in found["seconds"].values())]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    timing.report(__doc__, measure, table, {"--corpus": CORPUS})
