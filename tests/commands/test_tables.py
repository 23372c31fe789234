"""Stored results and verdicts as Markdown."""

from typing import Any

import pytest
from claimed import row

from core.commands import tables
from core.errors import InputError
from core.storage.store import Store
from core.verdicts import paper


def save(**changes: Any) -> None:
    usual = {"corpus": "toy", "preset": "uniform", "ranges": "fitted", "lstm_variance": 0.25}
    Store().save_result(row(**(usual | changes)))


FLOAT = {"bits": 32, "preset": "float", "ranges": None, "accuracy": 0.95}


def test_a_cell_is_the_mean_of_its_draws_and_dead_signals_are_marked(tmp_cache):
    save(**FLOAT)
    save()
    save(calibration_seed=1, accuracy=0.8)
    save(bits=4, accuracy=0.5, lstm_variance=0.0)
    lines = tables.accuracy_table("toy").splitlines()
    assert lines[0] == "**Generative** (float 95.00 %, n = 1,000)"
    assert lines[2] == "| preset | ranges | head | calibration | 8 | 7 | 6 | 5 | 4 | 3 |"
    assert lines[4] == "| uniform | fitted | gpfq | conditional |  |  |  |  | 50.0† / 0.00 | 85.0 / 0.25 (2 draws) |"


def test_at_8_bits_a_row_belongs_to_both_presets(tmp_cache):
    save(bits=8)
    save(preset="paper-code", accuracy=0.7)
    lines = tables.accuracy_table("toy").splitlines()
    assert lines[0] == "**Generative** (no float result)"
    assert lines[4] == "| paper-code | fitted | gpfq | conditional | 90.0 / 0.25 |  |  |  |  | 70.0 / 0.25 |"
    assert lines[5] == "| uniform | fitted | gpfq | conditional | 90.0 / 0.25 |  |  |  |  |  |"


def test_noise_limits_other_seeds_parts_of_classes_and_ranges_set_by_hand_stay_out(tmp_cache):
    save(**FLOAT)
    save(**FLOAT | {"preset": "float-in-brevitas", "accuracy": 0.1})
    save(noise=0.05)
    save(test_limit=10)
    save(seed=1)
    save(split="file")
    save(calibration="classes:class 1,class 2")
    save(cell_range=2.5)
    save(train_noise=0.1)
    assert tables.accuracy_table("toy").count("\n") == 3


LOW = [(ranges, bits) for ranges in ("fitted", "percentile") for bits in (4, 3)]


def test_the_summary_is_low_widths_of_the_uniform_preset_by_both_range_rules(tmp_cache):
    save(**FLOAT)
    for key, (ranges, bits) in enumerate(LOW, 10):
        save(ranges=ranges, bits=bits, accuracy=key / 100, lstm_variance=0.0 if bits == 3 else 0.5)
    save(preset="paper-code", accuracy=0.7)
    save(head="round", accuracy=0.7)
    save(calibration="unconditional", accuracy=0.7)
    heads, _, generative, discriminative = tables.summary_table(["toy"]).splitlines()
    columns = "4 bits, fitted | 3 bits, fitted | 4 bits, percentile | 3 bits, percentile"
    assert heads == f"| corpus | model | float | {columns} |"
    cells = "95.0 / 0.25 | 10.0 / 0.50 | 11.0† / 0.00 | 12.0 / 0.50 | 13.0† / 0.00"
    assert generative == f"| toy | generative | {cells} |"
    assert discriminative == "| toy | discriminative |  |  |  |  |  |"


def test_verdicts_are_those_of_the_paper_page():
    rows, judged = tables.verdicts(["dbpedia-14"]), paper.judge_all(paper.read(["dbpedia-14"]), ["dbpedia-14"])
    assert [row["claim"] for row in rows] == [judgement.claim.sentence for judgement in judged]
    assert [row["verdicts"] for row in rows] == [{"dbpedia-14": judgement.words} for judgement in judged]
    assert [row["explanations"]["dbpedia-14"] for row in rows] == [judgement.explanation for judgement in judged]


def test_a_table_of_verdicts_has_a_line_for_each_claim_and_a_column_for_each_corpus():
    row = {"figure": "Figure 6", "claim": "It falls.", "verdicts": {"a": "reproduced", "b": "not measured yet"}}
    whose = {"section 5.3": "the paper, section 5.3", "redo of the study": "a redo of the study", "ours": "ours"}
    assert tables.verdict_table([row | {"section": section} for section in whose]).splitlines() == [
        "| figure | whose | claim | a | b |",
        "| --- | --- | --- | --- | --- |",
        *(f"| Figure 6 | {words} | It falls. | reproduced | not measured yet |" for words in whose.values()),
    ]


def test_the_page_of_results_holds_every_table(tmp_cache):
    save(**FLOAT)
    save()
    page = tables.results_page(["toy"])
    verdicts = tables.verdict_table(tables.verdicts(["toy"]))
    assert all(part in page for part in (tables.summary_table(["toy"]), verdicts, tables.accuracy_table("toy")))


@pytest.mark.parametrize("make", [tables.accuracy_table, tables.summary_table, tables.verdicts])
def test_a_corpus_without_results_is_refused(tmp_cache, make):
    with pytest.raises(InputError, match="no results for 'toy'; run sweep toy first"):
        make("toy" if make is tables.accuracy_table else ["toy"])
