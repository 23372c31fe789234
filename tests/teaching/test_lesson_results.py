"""The lesson's steps on stored results say what the rows say, and what is missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import compared
import pytest

from core.config import FLOAT_BITS, MODEL_KINDS
from core.display import charts, curves
from core.teaching import lesson_results
from core.teaching.scenes import FEW_BITS, FITTED, LackingError, Scene

CORPUS = "reuters-r8"


STEPS: tuple[tuple[Callable[..., Scene], Any], ...] = (
    (lesson_results.two_ways, 1),
    (lesson_results.calibrated, "conditional"),
    (lesson_results.fewer, 3),
    (lesson_results.noisy, 0.05),
    (lesson_results.losses, 3),
)


@pytest.mark.parametrize(("step", "dial"), STEPS)
def test_an_empty_store_says_what_to_compute(step: Callable[..., Scene], dial: Any, tmp_cache: Path) -> None:
    with pytest.raises(LackingError) as lack:
        step(CORPUS, dial)
    assert all(command.startswith("python -m core sweep reuters-r8") for command in lack.value.commands)


def test_a_document_is_read_by_both_float_models_and_its_surprises_add_up(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = compared.use(tmp_path_factory, monkeypatch)
    scene = lesson_results.two_ways(place.corpus, 1)
    assert [panel.key for panel in scene.panels] == [f"answer-{model}" for model in MODEL_KINDS]
    assert scene.facts[0].startswith("This is test document 1; its class is ")
    assert [float(heading.split()[-4]) > 0 for heading, _ in scene.below] == [True, True]


@pytest.mark.usefixtures("_shipped")
def test_fewer_bits_say_the_mean_of_the_draws_and_the_sizes() -> None:
    shelf, scene = curves.read(CORPUS, noise=0.0), lesson_results.fewer(CORPUS, 3)
    for model in MODEL_KINDS:
        rows = shelf.draws(model, FITTED, 3)
        mean = charts.percent(sum(row["accuracy"] for row in rows) / len(rows))
        assert f"{model} 3 bits {mean}" in scene.panels[0].sentence
        assert f"mean of {len(rows)} draws" in scene.panels[0].sentence
    assert len(scene.facts) == 2
    assert lesson_results.fewer(CORPUS, FLOAT_BITS).facts == ()


@pytest.mark.usefixtures("_shipped")
def test_calibration_shows_the_documents_of_the_scheme_on_axes_that_stay() -> None:
    schemes = lesson_results.schemes(CORPUS)
    assert schemes[:2] == ["conditional", "unconditional"]
    scenes = [lesson_results.calibrated(CORPUS, scheme) for scheme in ("conditional", schemes[-1])]
    assert schemes[-1].startswith("classes:")
    counts = dict(zip(*(scenes[1].panels[0].figure.data[0][axis] for axis in "xy"), strict=True))
    assert {name for name, n in counts.items() if n} == set(schemes[-1].removeprefix("classes:").split(","))
    axes = [(s.panels[0].figure.layout.yaxis.range, s.panels[1].figure.layout.xaxis.range) for s in scenes]
    assert axes[0] == axes[1]


@pytest.mark.usefixtures("_shipped")
def test_noise_marks_what_it_replaced_and_says_the_accuracies_there() -> None:
    clean, noisy = lesson_results.noisy(CORPUS, 0.0), lesson_results.noisy(CORPUS, 0.1)
    assert "<mark>" not in clean.html[0][1]
    assert "<mark>" in noisy.html[0][1]
    for model in MODEL_KINDS:
        row = curves.read(CORPUS).draws(model, FITTED, FEW_BITS, 0.1)[0]
        assert f"{model} 3 bits {charts.percent(row['accuracy'])}" in noisy.panels[0].sentence


@pytest.mark.usefixtures("_shipped")
def test_losses_show_float_alone_at_float_and_both_below() -> None:
    assert [len(lesson_results.losses(CORPUS, bits).panels[1].figure.data) for bits in (FLOAT_BITS, 3)] == [1, 2]


def test_marks_escape_and_show_only_what_changed() -> None:
    assert lesson_results._marked("a<b", "a<c") == "a&lt;<mark>c</mark>"
