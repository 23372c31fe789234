"""Sentences, captions, CSV and commands say what the rows say, and the commands can be pasted."""

import csv
import io
import shlex

import pytest
from typer.testing import CliRunner

from core.config import FLOAT_BITS, MODEL_KINDS
from core.display import curve_words, curves
from core.display.curve_charts import Line, Point
from core.display.curves import Condition, Shelf

FITTED = Condition("uniform", "fitted", "gpfq", "conditional")
PERCENTILE = Condition("uniform", "percentile", "gpfq", "conditional")


def line(name: str = "float", *ys: float, draws: int = 1) -> Line:
    return Line(name, "#000000", tuple(Point(x / 20, y, y - 1, y + 1, 50, draws) for x, y in enumerate(ys)))


def test_the_drop_sentence_names_the_lowest_width(shipped: Shelf) -> None:
    text = curve_words.describe_drop(shipped, "discriminative", [FITTED, PERCENTILE])
    changes = {}
    for bits in (8, 7, 6, 5, 4, 3):
        point = curves.summarise(shipped, bits, shipped.draws("discriminative", PERCENTILE, bits), "change")
        assert point is not None
        changes[bits] = point.y
    bits = min(changes, key=lambda width: changes[width])
    assert f"percentile ranges: lowest at {bits} bits, {changes[bits]:.1f} points from float" in text
    assert text.startswith("Discriminative, fitted ranges: ")
    nowhere = Condition("uniform", "minmax", "round", "mix:a=1")
    assert curve_words.describe_drop(shipped, "generative", [nowhere]) == "Generative: nothing to compare."


def test_dead_lstms_are_named_by_model_and_width(shipped: Shelf) -> None:
    text = curve_words.describe_dead(shipped, [FITTED, PERCENTILE])
    for model in MODEL_KINDS:
        dead = [
            b for b in (8, 7, 6, 5, 4, 3) if any(r["detail"]["dead_lstm"] for r in shipped.draws(model, PERCENTILE, b))
        ]
        assert f"{model}, percentile ranges at {', '.join(map(str, dead))} bits" in text
    assert "fitted ranges at" not in text
    assert curve_words.describe_dead(shipped, [FITTED]) == ""


def test_the_band_sentence_says_what_the_band_is() -> None:
    single, several = line("a", 1, 2), line("a", 1, 2, draws=3)
    assert curve_words.describe_bands([single], "accuracy").startswith("Band: the 95 % Wilson interval; every")
    assert "smallest to largest of 3 draws" in curve_words.describe_bands([single, several], "accuracy")
    assert curve_words.describe_bands([several], "change").endswith("else none.")


def test_the_noise_sentence_names_start_end_and_fall() -> None:
    text = curve_words.describe_noise([line("float", 90, 70.5), line("3 bits", 80)], "generative")
    assert text == "Generative from 0 % to 5 % noise: float 90.0 % to 70.5 % (-19.5 points), 3 bits 80.0 %."
    assert curve_words.describe_noise([], "generative") == "Generative: nothing is stored."


def test_the_heat_sentence_names_both_ends() -> None:
    cells: list[list[Point | None]] = [[None, None] for _ in range(7)]
    assert curve_words.describe_heat(cells, [0, 0.1], "accuracy").startswith("No result")
    cells[0][0], cells[6][1] = Point(0, 90, 90, 90, 5), Point(0.1, 40, 40, 40, 5)
    text = curve_words.describe_heat(cells, [0, 0.1], "accuracy")
    assert text == "Lowest 40.0 % at 3 bits and 10 % noise; highest 90.0 % at float and 0 % noise."


def test_the_caption_names_what_is_shared(shipped: Shelf) -> None:
    text = curve_words.caption(shipped, [FITTED, PERCENTILE])
    assert text.startswith(
        "reuters-r8, uniform, head gpfq, conditional calibration, weights seed 0, calibration seeds 0"
    )
    assert text.endswith("n = 2,189")
    assert "fitted ranges" in curve_words.caption(shipped, [FITTED])


def test_noise_rates_are_the_realised_ones(shipped: Shelf) -> None:
    table = curve_words.noise_table(shipped)
    assert [row["Noise dial"] for row in table[:2]] == ["0 %", "0 %"]
    for row in table:
        level = float(row["Noise dial"].removesuffix(" %")) / 100
        stored = [r for r in shipped.rows if (r["model"], r["noise"]) == (row["Model"], level)]
        assert row["Unknown words"] == f"{100 * stored[0]['detail']['noise']['oov_rate']:.1f} %"


def test_csv_holds_configuration_seeds_n_and_versions(shipped: Shelf) -> None:
    cells = curves.grid([FITTED], [0.0])
    rows = curves.rows_of(shipped, cells)
    found = list(csv.DictReader(io.StringIO(curve_words.write_csv(rows, stored_bytes=curves.stored_bytes))))
    assert len(found) == len(rows) > 12
    for line_, row in zip(found, rows, strict=True):
        assert (line_["key"], int(line_["n"]), float(line_["accuracy"])) == (row["key"], row["n"], row["accuracy"])
        assert line_["versions"].startswith('{"brevitas"')
        assert line_["stored_bytes"] == str(curves.stored_bytes(row) or "")
    assert curve_words.write_csv([]).count("\n") == 1


def test_commands_name_every_missing_setting_and_are_understood() -> None:
    cells = curves.grid([FITTED, PERCENTILE], [0.0, 0.05], (FLOAT_BITS, 4), ("generative",))
    lines = curve_words.commands("my news.csv", cells)
    assert lines[0] == "python -m core sweep 'my news.csv' --model generative --bits 32 --noise 0 --noise 0.05"
    assert len(lines) == 3
    assert "--ranges percentile" in lines[2]
    both = curve_words.commands("reuters-r8", curves.grid([FITTED], [0.0], (4, 3)))
    assert both == [
        "python -m core sweep reuters-r8 --preset uniform --ranges fitted --head gpfq --calibration conditional "
        "--bits 4 --bits 3"
    ]
    assert curve_words.training("a b", MODEL_KINDS)[0] == "python -m core train 'a b' --model generative"


@pytest.mark.parametrize("place", [0, 1])
def test_the_command_line_takes_the_commands(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from core import __main__, pipeline

    asked: list[object] = []
    monkeypatch.setattr(pipeline, "evaluate_many", lambda specs: asked.extend(specs) or iter(()))
    cells = curves.grid([FITTED], [0.05], (FLOAT_BITS, 4, 3))
    words = shlex.split(curve_words.commands("reuters-r8", cells)[place])
    result = CliRunner().invoke(__main__.app, words[3:])
    assert result.exit_code == 0, result.output
    assert len(asked) == (2, 4)[place]
