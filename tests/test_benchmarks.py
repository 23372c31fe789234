"""The benchmark's arithmetic, on a clock of our own; its figures are not tested, as they are a machine's."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from models import documents, tiny
from tiny import RUN

from benchmarks import app, methods, roofline, timing, whole
from benchmarks.engine import QUICK, class_loop, table
from core import pipeline
from core.config import BIT_WIDTHS, FLOAT_BITS, CalibrationSpec, CorpusSpec, default_run
from core.measurement import evaluation
from core.quantization import engine
from core.text.tokens import batches
from core.transformers import fine_tuning


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that moves only when told to."""
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def test_the_median_of_the_measured_calls_counts(clock: Callable[[float], None]) -> None:
    taken = {"a": iter([9.0, 1.0, 5.0, 2.0]), "b": iter([0.5, 0.1, 0.3, 0.2])}
    runs = {name: lambda name=name: clock(next(taken[name])) for name in taken}
    assert timing.medians(runs, repeats=3) == {"a": pytest.approx(2.0), "b": pytest.approx(0.2)}


def test_a_peer_is_measured_at_the_batch_size_that_suits_it_best(clock: Callable[[float], None]) -> None:
    size, seconds = timing.best({64: lambda: clock(3.0), 256: lambda: clock(1.5), 1024: lambda: clock(2.0)})
    assert (size, seconds) == (256, pytest.approx(1.5))


def test_a_rate_is_operations_by_time(clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "ROWS", (4,))
    monkeypatch.setattr(roofline, "COLUMNS", (3,))

    def slow(levels: torch.Tensor, unit: float) -> Callable[[torch.Tensor, torch.Tensor], None]:
        return lambda left, buffer: clock(0.5)

    assert roofline.product_rate(slow, 5, lambda levels: levels) == pytest.approx(2 * 4 * 3 * 5 / 0.5)


def test_the_class_loop_gives_the_losses_of_the_engine() -> None:
    model, encoded = tiny("generative"), documents(9)
    ours = evaluation.evaluate(engine.from_float(model), encoded).losses
    for batch in batches(encoded, 4):
        theirs = class_loop(model, batch)  # type: ignore[arg-type]
        torch.testing.assert_close(torch.from_numpy(ours)[batch.index], theirs, rtol=1e-5, atol=1e-4)


def test_the_table_row_has_every_main_figure() -> None:
    found = {"corpus": "c", "classes": 4, "vocabulary": 21858, "lstm_vs_brevitas_b64": 50.5, "disc_vs_float": 1.5}
    found |= {"lstm_vs_brevitas_best": 11.0, "gen_vs_loop": 13.0, "gen_roofline_share": 0.61}
    assert table(found) == "| c | 4 | 21,858 | 50.50 | 11.00 | 1.50 | 13.00 | 0.61 |"


def test_the_two_sides_of_the_app_benchmark_take_turns_after_one_unmeasured_run_of_each() -> None:
    asked = []

    def take(side: str, milliseconds: float, number: int) -> float:
        asked.append((side, number))
        return milliseconds * number

    found = app.in_turn({"ours": partial(take, "ours", 30.0), "floor": partial(take, "floor", 20.0)}, repeats=5)
    assert asked == [(side, number) for number in range(6) for side in ("ours", "floor")]
    assert (found["n"], found["ours_p50_ms"], found["floor_p50_ms"]) == (5, 90.0, 60.0)
    assert found["ours_p95_ms"] == pytest.approx(np.percentile([30, 60, 90, 120, 150], 95))
    assert found["ratio_p50"] == found["ratio_p95"] == pytest.approx(1.5)
    assert app.table({"machine": "m", "dial_move": found}) == "| dial_move | 5 | 90 / 60 | 1.50 | 144 / 96 | 1.50 |"


SMALL = {
    "bert": {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64},
    "gpt2": {"n_embd": 64, "n_layer": 1, "n_head": 2, "pad_token_id": 0, "use_cache": False},
}


def test_every_method_is_timed_against_float32(clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "SIZES", SMALL)
    seconds = {"bert": {"float32": 3.0, "bfloat16": 1.5, "dynamic-int8": 1.0}}
    seconds["gpt2"] = {"float32": 3.0, "bfloat16": 1.5, "nf4, float32": 6.0, "nf4, bfloat16": 2.0, "int8-bnb": 12.0}
    assert {kind: list(methods.methods(kind)) for kind in SMALL} == {
        kind: list(taken) for kind, taken in seconds.items()
    }
    monkeypatch.setattr(
        methods, "methods", lambda kind: {name: lambda _, t=t: clock(t) for name, t in seconds[kind].items()}
    )
    found = methods.measure()
    for kind, size in ((kind, size) for kind in SMALL for size in methods.BATCHES):
        for name, taken in seconds[kind].items():
            assert found[f"{kind}, batch {size}"][name]["ms"] == pytest.approx(1000 * taken)
            assert found[f"{kind}, batch {size}"][name]["speed_up"] == pytest.approx(3 / taken)
    assert "| gpt2, batch 16 | nf4, float32 | 6,000 | 0.50 |" in methods.table(found).splitlines()


@torch.inference_mode()
def test_nf4_computes_in_the_type_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "SIZES", SMALL)
    model, batch = methods.architecture("gpt2"), methods.documents(3)
    exact, rough = (methods.nf4_in(model, dtype)(batch) for dtype in (torch.float32, torch.bfloat16))
    half = methods.in_bfloat16(model)(batch).float()
    plain = fine_tuning.logits(model, batch)
    assert not torch.equal(exact, rough)
    torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.05)
    torch.testing.assert_close(half, plain, rtol=0.1, atol=0.05)
    assert not torch.equal(exact, plain)


def test_a_whole_evaluation_is_timed_at_every_width(corpus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "default_run", partial(default_run, **RUN))
    monkeypatch.setitem(QUICK, "calibration", CalibrationSpec(count=20))
    found = whole.measure(corpus)
    assert list(found["seconds"]) == [FLOAT_BITS, *BIT_WIDTHS]
    assert all(seconds > 0 for seconds in found["seconds"].values())
    assert found["documents"] == len(pipeline.load(CorpusSpec(name=corpus)).test)
    assert len(whole.table(found).split("|")) == 11
