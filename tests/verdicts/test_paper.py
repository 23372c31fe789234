"""What the Paper page is given: charts of the stored rows, the rows themselves, gaps, verdicts; nothing computed."""

import csv
import io
import shlex

import numpy as np
import pytest
from claimed import CORPUS, draws, row

from core import pipeline
from core.config import BIT_WIDTHS, MODEL_KINDS
from core.display import downloads
from core.storage.store import Store
from core.verdicts import paper
from core.verdicts.paper_figures import FIGURES, METHODS, figure_of

OWN, FITTED = METHODS[0], METHODS[1]
FIGURE_7, FIGURE_10, FIGURE_13, FIGURE_15, FIGURE_16 = (figure_of(f"Figure {n}") for n in (7, 10, 13, 15, 16))
DENSITY = {"low": 0.0, "high": 10.0, "density": [0.1] * 11, "bandwidth": 0.2, "rule": "scott", "n": 50}


@pytest.fixture(autouse=True)
def _nothing_is_computed(tmp_cache, monkeypatch):
    for name in ("evaluate", "build_model", "build_variant", "measure_distance"):
        monkeypatch.setattr(pipeline, name, None)


def save(*rows):
    for one in rows:
        Store().save_result(one)
    return list(rows)


def read():
    return paper.read(paper.offered_corpora())


def filled():
    """Both models in float and at every width, two draws, the last two widths with fitted ranges too."""
    rows = []
    for place, model in enumerate(MODEL_KINDS):
        rows += [row(0.95 - place / 100, bits=32, model=model)]
        for bits in BIT_WIDTHS:
            preset = "uniform" if bits == 8 else "paper-code"
            rows += draws([0.9 + bits / 1000 - place / 100] * 2, bits=bits, model=model, preset=preset)
        rows += [row(0.5, bits=bits, model=model, ranges="fitted") for bits in (4, 3)]
    return save(*rows)


def test_the_chart_is_the_means_of_the_rows():
    rows = filled()
    (chart,) = paper.draw(FIGURE_7, OWN, read(), CORPUS)
    lines = {trace.name: trace for trace in chart.drawing.data if trace.name}
    for model in MODEL_KINDS:
        chosen = [r for r in rows if r["model"] == model and r["ranges"] in (None, "percentile")]
        expected = [100 * np.mean([r["accuracy"] for r in chosen if r["bits"] == bits]) for bits in (32, *BIT_WIDTHS)]
        assert list(lines[model].y) == pytest.approx(expected)
        assert list(lines[model].x) == ["float", *(f"{bits} bits" for bits in BIT_WIDTHS)]
    assert chart.sentence.startswith("Accuracy by bit-width: generative 95.0 % at float, 90.3 % at 3 bits")
    assert chart.sentence.endswith("(1 to 2 draws). n = 1,000.")


def test_the_axes_stay_when_the_condition_changes():
    filled()
    ranges = [paper.draw(FIGURE_7, one, read(), CORPUS)[0].drawing.layout.yaxis.range for one in (OWN, FITTED)]
    assert ranges[0] == ranges[1]
    assert ranges[0][0] <= 50
    (zoomed,) = paper.draw(FIGURE_7, OWN, read(), CORPUS, zoom=True)
    assert zoomed.drawing.layout.yaxis.range[0] > 80


def test_panels_are_charts_of_their_own_with_one_axis():
    save(*(row(0.9, bits=32, model=model) for model in MODEL_KINDS), row(0.4, bits=32, noise=0.1))
    charts = paper.draw(FIGURE_10, OWN, read(), CORPUS)
    assert [chart.heading for chart in charts] == ["Generative", "Discriminative"]
    assert len({chart.key for chart in charts}) == 2
    assert charts[0].drawing.layout.yaxis.range == charts[1].drawing.layout.yaxis.range
    assert charts[0].sentence.startswith("Generative. Accuracy by characters replaced (%): float 90.0 % at 0")


def test_densities_are_drawn_from_rows_that_have_them():
    losses = {"token_losses": DENSITY | {"median": 4.0, "maximum": 9.5}}
    save(row(bits=32, detail={"densities": losses}), row(calibration="unconditional"))
    (chart,) = paper.draw(FIGURE_15, OWN, read(), CORPUS)
    (curve,) = chart.drawing.data
    assert curve.name == "float: median 4.00, maximum 9.50"
    assert list(curve.y) == DENSITY["density"]


def test_distances_are_drawn_and_judged(monkeypatch):
    found = [
        {
            "key": f"{draw:016x}",
            "corpus": CORPUS,
            "model": "generative",
            "seed": 0,
            "first": "conditional",
            "second": "unconditional",
            "draw": draw,
            "documents": [100, 90],
            "ks": {
                site: {"statistic": d, "n": 9, "m": 9, "pvalue": 0.0}
                for site, d in (("embedding", 0.2), ("lstm", 0.03))
            },
            "spec": {"run": {"corpus": {"content": ""}, "train": {"seed": 0}}},
        }
        for draw in range(2)
    ]
    monkeypatch.setattr(pipeline, "distances", lambda corpus: found if corpus == CORPUS else [])
    (chart,) = paper.draw(FIGURE_13, {}, read(), CORPUS)
    (dots,) = chart.drawing.data
    assert (list(dots.x), list(dots.y)) == (["embedding", "LSTM"], [0.2, 0.03])
    judgements = paper.judge_all(read(), [CORPUS])
    (judgement,) = paper.claims_of(FIGURE_13, judgements)
    assert judgement.words == "reproduced"
    assert len(paper.behind(FIGURE_13, {}, read(), CORPUS)) == 2


def test_the_csv_is_the_rows():
    rows = filled()
    table = paper.behind(FIGURE_7, OWN, read(), CORPUS)
    written = list(csv.DictReader(io.StringIO(downloads.csv_text(table))))
    by_key = {r["key"]: r for r in rows if r["ranges"] != "fitted"}
    assert {line["key"] for line in written} == set(by_key)
    for line in written:
        stored = Store().find_result(line["key"])
        assert stored is not None
        for name in ("model", "preset", "ranges", "calibration"):
            assert line[name] == (stored[name] or "")
        assert (int(line["correct"]), int(line["n"]), int(line["bits"])) == (
            stored["correct"],
            stored["n"],
            stored["bits"],
        )
        assert float(line["accuracy"]) == stored["accuracy"]
        assert (float(line["train_noise"]), line["cell_range"]) == (0.0, "")


def test_gaps_are_counted_and_named():
    assert paper.gaps(FIGURE_7, OWN, read(), CORPUS).startswith(
        "14 of 14 points are not measured: generative float; generative 8 bits; "
    )
    filled()
    assert paper.gaps(FIGURE_7, OWN, read(), CORPUS) == ""
    assert "discriminative 7 bits" in paper.gaps(FIGURE_7, FITTED, read(), CORPUS)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.key)
def test_an_empty_store_draws_nothing_and_names_the_command(figure):
    rows = read()
    assert paper.draw(figure, figure.conditions[0], rows, CORPUS) == []
    assert paper.behind(figure, figure.conditions[0], rows, CORPUS) == []
    for name, conditions in figure.studies.items():
        for condition in conditions:
            words = shlex.split(paper.command(figure, condition, "my corpus.csv"))
            assert words == ["python", "-m", "core", "study", "my corpus.csv", "--only", name]


def test_a_condition_that_the_study_leaves_out_has_no_command():
    assert paper.command(FIGURE_10, FITTED, CORPUS) == ""
    assert paper.command(FIGURE_7, FITTED, CORPUS).endswith("--only fitted")


def test_the_summary_has_a_line_for_each_claim():
    filled()
    rows = read()
    judgements = paper.judge_all(rows, [CORPUS])
    table = paper.summary(judgements, rows)
    assert [line["Claim"] for line in table] == [judgement.claim.sentence for judgement in judgements]
    float_line = table[0]
    assert (float_line["Figure"], float_line["n"], float_line["Draws"]) == ("Table 1", "1,000", 1)
    words = paper.describe_summary(judgements)
    counted = [int(part.split()[0]) for part in words.split(": ")[1].split(", ")]
    assert words.startswith(f"Of {len(judgements)} claims: ")
    assert sum(counted) == len(judgements)


def test_the_table_of_tests_has_every_condition_and_test():
    filled()
    (judgement,) = [j for j in paper.judge_all(read(), [CORPUS]) if j.claim.key == "generative-conditional"]
    table = paper.tests_table(judgement)
    assert len(table) == 4 * 5
    assert (table[0]["Condition"], table[0]["Corpus"]) == ("paper-code, percentile ranges", CORPUS)
    assert table[0]["Measured"].startswith("-4.2 points (-4.2 to -4.2, 2 paired draws)")
    assert table[-1]["Measured"] == table[-1]["Outcome"] == "not measured"


def test_a_second_corpus_is_judged_too():
    save(row(0.95, bits=32), row(0.99, bits=32, model="discriminative"))
    (judgement, *_) = paper.judge_all(read(), [CORPUS])
    assert paper.over_corpora(judgement, read()) == ""
    other = {"bits": 32, "corpus": "ag-news"}
    save(row(0.95, **other), row(0.9, model="discriminative", **other))
    words = paper.over_corpora(judgement, read())
    assert "depends on the corpus (one draw)" in words


def test_a_line_is_about_one_training_and_the_table_of_trainings_about_all():
    save(*draws([0.95, 0.85, 0.75], bits=32), row(0.94, bits=8))
    (chart,) = paper.draw(FIGURE_7, OWN, read(), CORPUS)
    (line,) = (trace for trace in chart.drawing.data if trace.name == "generative")
    assert list(line.y) == pytest.approx([95, 94])
    (table,) = paper.draw(figure_of("Table 1"), {}, read(), CORPUS)
    assert "85.0 %" in table.sentence


def test_widths_are_for_figures_of_both_models_over_bits():
    filled()
    table = paper.widths(FIGURE_7, OWN, read(), CORPUS)
    assert {line["Comparison"] for line in table} >= {"generative against float", "discriminative against generative"}
    assert table[0]["McNemar p"] == table[0]["KL (nats)"] == paper.NOT_STORED
    for figure in (FIGURE_10, FIGURE_15, FIGURE_16):
        assert paper.widths(figure, figure.conditions[0], read(), CORPUS) == []


def test_the_studys_corpora_are_offered_first():
    for name in ("emotion", "/home/me/my.csv"):
        card = {"key": f"{len(name):016x}", "corpus": name, "model": "generative", "seed": 0}
        Store().save_model_card({**card, "spec": {}, "versions": {}})
    assert paper.offered_corpora() == ["reuters-r8", "ag-news", "dbpedia-14", "emotion"]
    assert paper.sources()[:2] == ["Table 1", "Figure 6"]
