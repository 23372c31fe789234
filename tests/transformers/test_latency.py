"""Timing: what is counted, the order of the results, what a machine is called."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.text.tokens import Encoded
from core.transformers import latency


class Echo(nn.Module):
    """Logits that name a document by its first id; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.calls: list[int] = []

    @property
    def config(self) -> Any:
        return type("Config", (), {"pad_token_id": 0})

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        self.calls.append(len(input_ids))
        first = input_ids[:, :1].float() * self.scale
        return type("Output", (), {"logits": torch.cat([first, -first], 1)})


def documents(count: int) -> Encoded:
    lengths = np.arange(count) % 5 + 1
    ids = np.concatenate([np.full(length, i % 7) for i, length in enumerate(lengths)]).astype(np.int32)
    return Encoded(ids, np.concatenate([[0], np.cumsum(lengths)]), np.zeros(count, np.int64), 0.0, 0.0)


def test_results_come_in_the_order_of_the_documents() -> None:
    logs, seconds = latency.run(Echo(), documents(150))
    first = torch.arange(150) % 7
    expected = torch.log_softmax(torch.stack([first, -first], 1).float(), 1)
    assert np.allclose(logs, expected.numpy(), atol=1e-6)
    assert seconds > 0


@pytest.mark.parametrize(("count", "size"), [(1, 1), (5, 5), (400, latency.LATENCY_BATCH)])
def test_warm_up_and_timed_batches_are_of_one_size(count: int, size: int) -> None:
    model = Echo()
    found = latency.measure(model, documents(count))
    assert model.calls == [size] * (latency.WARM_UP_BATCHES + latency.LATENCY_BATCHES)
    assert found["latency_batch_size"] == size
    assert found["latency_ms_per_sample"] == found["latency_ms_per_batch"] / size > 0


def test_warm_up_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([t for i in range(23) for t in (10.0 * i, 10.0 * i + (5.0 if i < 3 else 0.002))])
    monkeypatch.setattr(latency, "_synchronized", lambda: next(ticks))
    assert latency.measure(Echo(), documents(16))["latency_ms_per_batch"] == pytest.approx(2.0)


def test_a_machine_has_device_processor_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITDIAL_DEVICE", "cpu")
    found = latency.machine()
    assert (found["device"], found["gpu"], found["threads"]) == ("cpu", None, torch.get_num_threads())
    assert found["cpu"]
