"""A recurrence on CUDA: its step is recorded once as a graph and replayed for every word, in one launch for each."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class Graph(Protocol):
    """What was recorded, to be run again on the same tensors."""

    def replay(self) -> None: ...


def worthwhile(device: torch.device) -> bool:
    """Say whether a device takes longer to be told what to do than to do it."""
    return device.type == "cuda"


@torch.inference_mode()
def scan(step: Step, ids: Tensor, start: Tensor) -> Tensor:
    """Run `step(ids (B,), hidden (B, H), cell (B, H)) -> hidden, cell` over ids (B, T); return all states (T, B, H).

    Both states begin at `start` (B, H). Nothing waits for the device.
    """
    words, states = ids.T.contiguous(), start.new_empty(ids.shape[1], *start.shape)
    word, hidden, cell = words[0].clone(), start.clone(), start.clone()

    def advance() -> None:
        for kept, new in zip((hidden, cell), step(word, hidden, cell), strict=True):
            kept.copy_(new)

    graph = record(advance)
    hidden.copy_(start)
    cell.copy_(start)
    for entered, state in zip(words, states, strict=True):
        word.copy_(entered)
        graph.replay()
        state.copy_(hidden)
    return states


def record(run: Callable[[], None]) -> Graph:
    """Record what `run` launches on the current device; it is run once beforehand, so that libraries are set up."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph
