"""The benchmark's arithmetic, on a clock of our own; its figures are not tested, as they are a machine's."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from models import documents, tiny

from benchmarks import app, roofline, timing
from benchmarks.engine import class_loop, table
from core import engine, evaluation
from core.tokens import batches


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
