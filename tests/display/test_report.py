"""The report: one file that needs nothing else, with the numbers, the configuration, and nobody's markup."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from compared import Place

from core.display import charts, downloads, pairs, report, views
from core.display.pairs import Pair
from core.display.report import Bar, Matrix, Report
from core.storage.store import Row

VOID = {"meta", "link", "img", "br", "hr", "input"}
LARGEST_BYTES = 2_000_000


class Read(HTMLParser):
    """What a file holds; fails if tags do not close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def pair_of(place: Place) -> Pair:
    sides = (("A", "generative", 32), ("B", "generative", 3))
    return Pair(*(pairs.look_up(name, model, place.settings(bits=bits)) for name, model, bits in sides))


def assert_complete(page: str, rows: list[Row]) -> Read:
    """One small file on its own, with every row's numbers and configuration."""
    assert len(page.encode()) < LARGEST_BYTES
    found = Read(page)
    assert (found.references, "script" in found.seen) == ([], False)
    assert not re.search(r"@import|url\(", page)
    words = " ".join(found.words)
    for row in rows:
        assert views.caption(row) in found.words
        assert charts.percent(row["accuracy"]) in words
        for line in row["detail"]["confusion"]:
            assert all(f"{count:,}" in found.words for count in line)
    specs = [json.loads(text) for text in found.words if text.startswith("{")]
    assert [spec["key"] for spec in specs] == [row["key"] for row in rows]
    assert [spec["versions"] for spec in specs] == [row["versions"] for row in rows]
    assert [spec["spec"] for spec in specs] == [row["spec"] for row in rows]
    return found


def test_a_pair_is_reported_with_its_test(place: Place) -> None:
    pair = pair_of(place)
    found = assert_complete(report.pair_report(pair), list(pairs.rows(pair)))
    contrast = pairs.contrast(pair)
    for sentence in (pairs.describe_difference(contrast), pairs.describe_mcnemar(contrast)):
        assert sentence in found.words
    assert {"A: generative, float", "B: generative, 3 bits", "B minus A"} <= set(found.words)
    assert found.seen.count("rect") == 2


def test_a_pair_without_answers_is_reported_without_its_test(place: Place) -> None:
    pair = pair_of(place)
    bare = Pair(pair.a, replace(pair.b, outcome=None))
    found = assert_complete(report.pair_report(bare), list(pairs.rows(pair)))
    assert not any("McNemar" in words for words in found.words)


@pytest.mark.parametrize("bits", [3, 32])
def test_two_models_are_reported_with_their_float_models(place: Place, bits: int) -> None:
    shown = views.compare(place.settings(bits=bits)).shown
    rows = downloads.comparison_rows(shown)
    found = assert_complete(report.comparison_report(shown), rows)
    assert found.seen.count("rect") == len(rows) == (4 if bits == 3 else 2)
    assert ("ks-generative" in found.words) == (bits == 3)


def test_names_of_the_users_are_text() -> None:
    name = '<script>alert("x")</script>'
    matrix = Matrix(name, [name], [[("1", "#000000")]])
    page = report.render(
        Report(name, [name], [Bar(name, 0.5, 0.4, 0.6, "#000000")], 0.5, [matrix], {name: [{name: name}]}, [])
    )
    found = Read(page)
    assert "script" not in found.seen
    assert sum(words.count(name) for words in found.words) >= 7


def test_a_cell_is_coloured_by_its_sign_and_size(place: Place) -> None:
    pair = pair_of(place)
    page = report.pair_report(pair)
    part = page[page.index("<h3>B minus A</h3>") :].split("</table>")[0]
    cells = re.findall(r"background:(#\w{6})(\w\w)\">([+-]?[\d,]+)<", part)
    assert len(cells) == len(pairs.class_names(pair)) ** 2
    largest = max(abs(int(count)) for _, _, count in cells)
    for colour, depth, count in cells:
        assert colour == (charts.GENERATIVE if int(count) < 0 else charts.DISCRIMINATIVE)
        assert int(depth, 16) == pytest.approx(190 * abs(int(count)) / largest, abs=1)
