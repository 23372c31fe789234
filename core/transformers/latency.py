"""How long a transformer takes, and on which machine: a latency is a property of both."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core import runtime
from core.storage.store import Row
from core.text.tokens import Encoded, batches, make_batch
from core.transformers import fine_tuning

EVALUATION_BATCH = 64
LATENCY_BATCH = 16
LATENCY_BATCHES = 20
WARM_UP_BATCHES = 3


@torch.inference_mode()
def run(
    model: nn.Module, documents: Encoded, on_batch: Callable[[int, int], None] = lambda done, total: None
) -> tuple[np.ndarray, float]:
    """Return the log-probabilities (N, C) of all documents, and the seconds that the model took for them.

    Documents come sorted by length in batches of EVALUATION_BATCH, always the same: dynamic INT8 takes one activation
    range for each batch. `on_batch(done, total)` counts documents.
    """
    device, done = fine_tuning.device_of(model), 0
    parts: list[tuple[torch.Tensor, torch.Tensor]] = []
    _synchronized()
    start = time.perf_counter()
    for batch in (batch.to(device) for batch in batches(documents, EVALUATION_BATCH)):
        parts.append((batch.index, torch.log_softmax(fine_tuning.logits(model, batch).float(), dim=1)))
        done += len(batch.index)
        on_batch(done, len(documents))
    seconds = _synchronized() - start
    order = torch.cat([index for index, _ in parts])
    return torch.cat([logs for _, logs in parts])[order.argsort()].cpu().numpy(), seconds


@torch.inference_mode()
def measure(model: nn.Module, documents: Encoded) -> Row:
    """Return the median latency in ms of a batch of LATENCY_BATCH documents in their order, and of one document.

    The clock is read after the device has finished; WARM_UP_BATCHES batches go first. Of a short list of documents
    the batches repeat.
    """
    device = fine_tuning.device_of(model)
    size = min(LATENCY_BATCH, len(documents))
    places = [np.arange(i * size, (i + 1) * size) % len(documents) for i in range(WARM_UP_BATCHES + LATENCY_BATCHES)]
    taken = []
    for index in places:
        batch = make_batch(documents, index).to(device)
        start = _synchronized()
        fine_tuning.logits(model, batch)
        taken.append(1000 * (_synchronized() - start))
    per_batch = statistics.median(taken[WARM_UP_BATCHES:])
    return {
        "latency_ms_per_batch": per_batch,
        "latency_ms_per_sample": per_batch / size,
        "latency_batch_size": size,
        "latency_batches": LATENCY_BATCHES,
        "latency_warm_up_batches": WARM_UP_BATCHES,
    }


def machine() -> Row:
    """Describe what runs the model: device, processor, threads of torch, and how busy the machine was."""
    device = runtime.device()
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "device": str(device),
        "gpu": gpu,
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": load,
    }


def _synchronized() -> float:
    """Return the clock in seconds, once queued GPU work is done."""
    runtime.synchronize()
    return time.perf_counter()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
