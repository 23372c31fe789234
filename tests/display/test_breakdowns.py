"""Results by class, size and token loss are the stored ones; the Pareto front is what a slow search finds."""

import pytest

from core.config import FLOAT_BITS, MODEL_KINDS
from core.display import breakdowns, charts, curves
from core.display.curve_charts import WIDTHS
from core.display.curves import Condition, Shelf

FITTED = Condition("uniform", "fitted", "gpfq", "conditional")
NOWHERE = Condition("uniform", "minmax", "round", "mix:a=1")

pytestmark = pytest.mark.usefixtures("in_clone")


@pytest.mark.parametrize("score", breakdowns.SCORES.values())
def test_class_panels_hold_the_mean_of_the_draws(shipped: Shelf, score: str) -> None:
    panels = breakdowns.class_panels(shipped, FITTED, score)
    names = shipped.rows[0]["detail"]["class_names"]
    assert [title.partition(" (")[0] for title, _ in panels] == names
    for (_, lines), name in zip(panels, names, strict=True):
        for line, model in zip(lines, MODEL_KINDS, strict=True):
            assert [point.x for point in line.points] == list(WIDTHS)
            for point in line.points:
                rows = shipped.draws(model, FITTED, int(point.x))
                values = [100 * row["detail"]["per_class"][name][score] for row in rows]
                assert point.y == pytest.approx(sum(values) / len(values))
                assert (point.low, point.high, point.draws) == (min(values), max(values), len(rows))


def test_the_class_sentence_names_the_largest_fall(shipped: Shelf) -> None:
    panels = breakdowns.class_panels(shipped, FITTED, "f1")
    lost = min(
        (point.y - lines[1].points[0].y, title.partition(" (")[0])
        for title, lines in panels
        for point in lines[1].points[1:]
    )
    text = breakdowns.describe_classes(panels, "F1")
    assert f"Discriminative: {lost[1]} loses most F1, {charts.points(lost[0])} at" in text
    assert breakdowns.describe_classes([], "F1") == "Nothing to compare."
    floats = breakdowns.class_panels(shipped, NOWHERE, "f1")
    assert {len(line.points) for _, lines in floats for line in lines} == {1}


def test_no_row_means_no_panel(shipped: Shelf) -> None:
    assert breakdowns.class_panels(Shelf("news", ()), FITTED, "f1") == []


def test_the_front_is_what_comparing_all_pairs_finds(shipped: Shelf) -> None:
    points, unknown = breakdowns.sizes(shipped, [FITTED])
    assert unknown == 0
    assert len(points) == len(MODEL_KINDS) * len(WIDTHS)
    for one in points:
        better = [
            other
            for other in points
            if other.size_mb <= one.size_mb
            and other.point.y >= one.point.y
            and (other.size_mb < one.size_mb or other.point.y > one.point.y)
        ]
        assert one.front == (not better)
    front = sorted((point for point in points if point.front), key=lambda point: point.size_mb)
    text = breakdowns.describe_sizes(points)
    assert text.startswith(f"On the Pareto front are {len(front)} of {len(points)} variants: from {front[0].name}")
    assert f"{front[-1].size_mb:.2f} MB" in text


def test_sizes_are_the_stored_bytes_and_fewer_bits_take_fewer(shipped: Shelf) -> None:
    points, _ = breakdowns.sizes(shipped, [FITTED])
    for model in MODEL_KINDS:
        sizes = {int(p.point.x): p.size_mb for p in points if p.name.startswith(model)}
        assert list(sizes) == [*WIDTHS[1:], FLOAT_BITS]
        assert sorted(sizes, key=lambda bits: sizes[bits]) == sorted(sizes)
    row = shipped.draws("generative", FITTED, 5)[0]
    (found,) = [p for p in points if p.name == f"generative, {FITTED.name}, 5 bits"]
    assert found.size_mb == pytest.approx((curves.stored_bytes(row) or 0) / 1e6)


def test_the_float_size_is_four_bytes_a_weight_and_unknown_without_the_weights(
    shipped: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    row = shipped.draws("discriminative", None, FLOAT_BITS)[0]
    size = breakdowns.float_bytes(row)
    assert size is not None
    assert size % 4 == 0
    monkeypatch.setenv("BITDIAL_CACHE", str(tmp_path))
    assert breakdowns.float_bytes(row) is None


def test_results_without_a_size_are_counted(shipped: Shelf) -> None:
    bare = [
        row | {"detail": row["detail"] | {"calibration": {}}} if row["bits"] == 4 else row
        for row in shipped.rows
        if row["noise"] == 0
    ]
    points, unknown = breakdowns.sizes(Shelf(shipped.corpus, tuple(bare)), [FITTED])
    assert unknown == len(MODEL_KINDS)
    assert 4 not in {point.point.x for point in points}


def test_the_papers_conditions_are_chosen_first(shipped: Shelf) -> None:
    found = breakdowns.losses(shipped, FITTED)
    chosen = breakdowns.usual(found)
    assert chosen == ["float", "3 bits, conditional", "3 bits, unconditional", "3 bits, conditional, 10 % noise"]
    assert len({loss.name for loss in found}) == len(found)
    assert curves.missing(shipped, breakdowns.loss_cells(FITTED)) == []
    assert len(curves.missing(Shelf("news", ()), breakdowns.loss_cells(FITTED))) == len(chosen)
    assert breakdowns.usual(found[:1]) == ["float"]


def test_loss_curves_and_tables_are_the_stored_densities(shipped: Shelf) -> None:
    found = breakdowns.losses(shipped, FITTED)
    chosen = [loss for loss in found if loss.name in breakdowns.usual(found)]
    for kind, count in (("token_losses", 4), ("difference", 3)):
        drawn = breakdowns.loss_curves(chosen, kind)
        assert len(drawn) == count
        stored = {loss.name: loss.row["detail"]["densities"].get(kind) for loss in chosen}
        for name, kde, _, _ in drawn:
            assert kde.density.tolist() == stored[name]["density"]
            assert (kde.median, kde.maximum) == (stored[name]["median"], stored[name]["maximum"])
        assert len({(colour, dash) for _, _, colour, dash in drawn}) == count
    table = breakdowns.loss_table(chosen)
    assert [row["Condition"] for row in table] == [loss.name for loss in chosen]
    assert table[0]["Median change"] is None
    for line, loss in zip(table, chosen, strict=True):
        assert line["Median (nats)"] == round(loss.row["detail"]["densities"]["token_losses"]["median"], 2)
        column = breakdowns.LOSS_COLUMNS["difference_median"](loss.row)
        assert line["Median change"] == (None if column is None else round(column, 2))


def test_the_difference_sentence_has_signed_medians(shipped: Shelf) -> None:
    chosen = [loss for loss in breakdowns.losses(shipped, FITTED) if loss.name == "3 bits, conditional"]
    (curve,) = breakdowns.loss_curves(chosen, "difference")
    text = breakdowns.describe_differences([curve])
    assert text == f"Median change of a token's loss from float, in nats: 3 bits, conditional {curve[1].median:+.2f}."


def test_the_loss_caption_counts_documents_and_tokens(shipped: Shelf) -> None:
    (loss,) = [loss for loss in breakdowns.losses(shipped, FITTED) if loss.name == "float"]
    text = breakdowns.loss_caption(shipped, FITTED, [loss])
    tokens = loss.row["detail"]["densities"]["token_losses"]["n"]
    assert text.startswith("reuters-r8, generative, uniform, fitted ranges, head gpfq, weights seed 0")
    assert text.endswith(f"n = {loss.row['n']:,} documents, {tokens:,} tokens.")


def test_a_legend_of_many_curves_gets_room(shipped: Shelf) -> None:
    drawn = breakdowns.loss_curves(breakdowns.losses(shipped, FITTED)[:3])
    few, many = (breakdowns.with_room(charts.kde_figure(drawn), n).layout for n in (1, 6))
    assert many.height - few.height == many.margin.b - few.margin.b > 0
