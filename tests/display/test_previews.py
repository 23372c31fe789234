"""What a reader is told of a file before training: counts, lengths, examples and doubts."""

from pathlib import Path

import pytest
import tiny

from core.config import CorpusSpec
from core.display import previews
from core.display.previews import Preview
from core.errors import InputError


def read(path: Path, rows: list[tuple[str, str]]) -> Preview:
    return previews.read(CorpusSpec(name=str(tiny.write_rows(path / "own.csv", rows))))


def test_classes_are_counted_in_every_split(tmp_path: Path) -> None:
    rows = tiny.rows_of(40)
    table = previews.class_table(read(tmp_path, rows))
    assert [row["Class"] for row in table] == list(tiny.CLASSES)
    for row in table:
        assert row["Training"] + row["Validation"] + row["Test"] == 40
        assert row["Share"] == pytest.approx(100 / 3)


def test_examples_take_the_classes_in_turn_and_are_cut(tmp_path: Path) -> None:
    rows = [(text + " long" * 100, label) for text, label in tiny.rows_of(20)]
    shown = previews.examples(read(tmp_path, rows), 6)
    assert [{row["Class"] for row in part} for part in (shown[:3], shown[3:])] == [set(tiny.CLASSES)] * 2
    assert all(row["Text"].endswith(" …") and len(row["Text"]) == previews.LONGEST_TEXT + 2 for row in shown)


def test_bars_hold_every_text_and_lines_are_where_models_stop(tmp_path: Path) -> None:
    rows = [("word " * (1 + i * 20), "ab"[i % 2]) for i in range(40)]
    preview = read(tmp_path, rows)
    figure = previews.length_figure(preview, "own.csv")
    assert sum(figure.data[0].y) == preview.documents == 40
    assert {line.x0 for line in figure.layout.shapes} == {80, 160}
    assert "own.csv" in figure.data[0].hovertemplate
    words = previews.describe_lengths(preview)
    assert "Half of the texts have 391 words or fewer" in words
    assert "80.0 % and 90.0 % of them" in words


def test_the_sentence_has_the_share_of_the_largest_class(tmp_path: Path) -> None:
    words = previews.describe(read(tmp_path, tiny.rows_of(40)))
    assert words.startswith("120 documents of 3 classes.")
    assert "33.3 % on the 24 test documents" in words


def test_doubts_are_said_of_few_leaked_and_contrary_texts(tmp_path: Path) -> None:
    found = " ".join(previews.doubts(read(tmp_path, [("same words", "ab"[i % 2]) for i in range(10)])))
    for words in (
        "With 2 test documents",
        "training documents of a, b",
        "2 test texts are also",
        "1 text is there with",
    ):
        assert words in found
    distinct = [(f"text number{i}", "ab"[i % 2]) for i in range(2 * previews.FEW_TESTS * 3)]
    assert previews.doubts(read(tmp_path, distinct)) == []


def test_columns_follow_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n")
    assert previews.columns(str(path)) == ["x", "y"]
    path.write_text("x,y,zz\n1,2,3\n")
    assert previews.columns(str(path)) == ["x", "y", "zz"]
    with pytest.raises(InputError, match="does not exist"):
        previews.columns(str(tmp_path / "no.csv"))
