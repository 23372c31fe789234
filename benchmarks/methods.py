"""Why two methods are slow or fast against float32: python -m benchmarks.methods --json

The reports found dynamic INT8 35 times slower than float (BERT-base) and NF4 1.7 times faster (GPT-2). Both models'
architectures are timed here with random weights, as speed does not depend on what they learned, on one device, in one
run and in turn: each method, and the same arithmetic without its quantization. A ratio above 1 is faster than float32.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks import timing
from core import runtime
from core.text.tokens import Batch
from core.transformers import bases, fine_tuning, linear_methods

BATCHES = (1, 16)
TOKENS = 128
CLASSES = {"bert": 6, "gpt2": 4}
SIZES: dict[str, dict[str, Any]] = {"bert": {}, "gpt2": {"pad_token_id": 0, "use_cache": False}}
Run = Callable[[Batch], Any]


def architecture(kind: str) -> nn.Module:
    """Return BERT-base or the small GPT-2 as their papers size them, with random weights."""
    torch.manual_seed(0)
    config = {"model_type": kind, "num_labels": CLASSES[kind], **SIZES[kind]}
    return bases.build(config).to(runtime.device()).eval()


def in_bfloat16(model: nn.Module) -> Run:
    """Return the float model whose products run in bfloat16."""

    def run(batch: Batch) -> Any:
        with torch.autocast(runtime.device().type, torch.bfloat16):
            return fine_tuning.logits(model, batch)

    return run


def nf4_in(model: nn.Module, dtype: torch.dtype) -> Run:
    """Return the NF4 model that multiplies its dequantized weights in `dtype`, as bitsandbytes calls compute_dtype."""
    own = linear_methods.bnb_nf4(model)
    for layer in own.modules():
        if hasattr(layer, "compute_dtype"):
            layer.compute_dtype = dtype  # type: ignore[assignment]
    return partial(fine_tuning.logits, own)


def methods(kind: str) -> dict[str, Run]:
    """Return what is timed of a model, float32 first; methods that this device cannot run are left out."""
    model = architecture(kind)
    runs: dict[str, Run] = {"float32": partial(fine_tuning.logits, model), "bfloat16": in_bfloat16(model)}
    if kind == "gpt2":
        runs |= {f"nf4, {str(dtype)[6:]}": nf4_in(model, dtype) for dtype in (torch.float32, torch.bfloat16)}
        runs["int8-bnb"] = partial(fine_tuning.logits, linear_methods.bnb_int8(model))
    elif runtime.device().type == "cpu":
        runs["dynamic-int8"] = partial(fine_tuning.logits, linear_methods.dynamic_int8(model))
    return runs


def documents(size: int) -> Batch:
    """Return `size` documents of TOKENS random ids each."""
    ids = torch.randint(1, 1000, (size, TOKENS), generator=torch.Generator().manual_seed(0))
    index = torch.arange(size)
    return Batch(ids, torch.full((size,), TOKENS), torch.zeros_like(index), index).to(runtime.device())


@torch.inference_mode()
def measure() -> dict[str, Any]:
    """Return milliseconds and speed-up over float32 by model, batch size and method."""
    found: dict[str, Any] = {"machine": timing.machine(), "tokens": TOKENS}
    for kind in SIZES:
        runs = methods(kind)
        for size in BATCHES:
            batch = documents(size)
            taken = timing.medians({name: partial(run, batch) for name, run in runs.items()})
            found[f"{kind}, batch {size}"] = {
                name: {"ms": 1000 * seconds, "speed_up": taken["float32"] / seconds} for name, seconds in taken.items()
            }
    return found | {"versions": runtime.versions()}


def table(found: Mapping[str, Any]) -> str:
    """Return a Markdown row for each model, batch size and method."""
    return "\n".join(
        f"| {case} | {name} | {one['ms']:,.0f} | {one['speed_up']:.2f} |"
        for case, taken in found.items()
        if ", batch " in case
        for name, one in taken.items()
    )


if __name__ == "__main__":
    timing.report(__doc__, measure, table)
