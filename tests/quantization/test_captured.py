"""A recorded step: on a stand-in that runs it again, next to the plain loop; on a GPU as a graph."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from models import documents, grid_twin, tiny, whole

from core.config import MODEL_KINDS, PRESETS, ModelKind, Preset, Recipe
from core.quantization import captured, engine
from core.quantization.brevitas_models import compile_variant
from core.quantization.engine import Variant

BATCH = whole(documents(9))
VARIANTS = [(kind, preset) for kind in MODEL_KINDS for preset in PRESETS]


@dataclass
class Rerun:
    """Does what a graph does: the recorded work again, on the same tensors."""

    replay: Callable[[], None]


def variant_of(kind: ModelKind, preset: Preset) -> Variant:
    return compile_variant(grid_twin(kind, Recipe.preset(preset, 4)))


@pytest.mark.parametrize(("kind", "preset"), VARIANTS)
def test_a_recorded_step_gives_the_states_of_the_plain_loop(
    kind: ModelKind, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, records = engine.prepare(variant_of(kind, preset)), []
    plain = engine.run_lstm(prepared, BATCH)

    def record(run: Callable[[], None]) -> Rerun:
        records.append(run())  # as the real one does: the states it leaves behind are not to be kept
        return Rerun(run)

    monkeypatch.setattr(captured, "worthwhile", lambda device: True)
    monkeypatch.setattr(captured, "record", record)
    assert torch.equal(engine.run_lstm(prepared, BATCH), plain)
    assert len(records) == 1
    assert plain.any()


def test_an_observer_and_a_float_model_need_every_step_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "worthwhile", lambda device: True)
    monkeypatch.setattr(captured, "record", lambda run: pytest.fail("recorded"))
    seen: list[str] = []
    engine.run_lstm(engine.prepare(variant_of("generative", "uniform")), BATCH, lambda site, values: seen.append(site))
    assert set(seen) == set(engine.LSTM_SITES)
    assert engine.run_lstm(engine.prepare(engine.from_float(tiny("generative"))), BATCH).any()


@pytest.mark.parametrize(("name", "wanted"), [("cpu", False), ("cuda", True)])
def test_only_a_gpu_is_worth_it(name: str, wanted: bool) -> None:
    assert captured.worthwhile(torch.device(name)) is wanted


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("kind", "preset"), VARIANTS)
def test_a_graph_gives_the_states_of_the_cpu(kind: ModelKind, preset: Preset) -> None:
    variant = variant_of(kind, preset)
    moved = engine.prepare(engine.to_device(variant, torch.device("cuda")))
    graphed = engine.run_lstm(moved, BATCH.to(torch.device("cuda"))).cpu()[BATCH.mask]
    torch.testing.assert_close(graphed, engine.run_lstm(engine.prepare(variant), BATCH)[BATCH.mask], rtol=0, atol=1e-5)
