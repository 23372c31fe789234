"""The reports beside ours, and verdicts that follow from the rows alone."""

from pathlib import Path
from typing import Any

import method_rows
import pytest
from test_methods import compared

from core.display import method_verdicts
from core.transformers.published import REPORTS

UNMEASURED, BUSY = method_verdicts.UNMEASURED, method_verdicts.BUSY


def said(kind: str = "bert", corpus: str = "emotion") -> dict[tuple[str, str], str]:
    lines = method_verdicts.verdicts(compared(kind, corpus))  # type: ignore[arg-type]
    return {(line["Method"], line["What"].split()[0]): line["Verdict"] for line in lines}


def test_both_bases_stand_beside_their_numbers(tmp_cache: Path) -> None:
    method_rows.save_bert()
    lines = method_verdicts.beside(compared())
    assert {line["Published: base"] for line in lines} == {"google-bert/bert-base-uncased"}
    assert [line["Ours: base"] for line in lines] == ["tiny encoder", "tiny encoder", None, "tiny encoder"]
    assert [line["Published: accuracy (%)"] for line in lines] == [100 * row.accuracy for row in REPORTS["bert"].rows]
    assert lines[1]["Published: speed-up"] == pytest.approx(13.04 / 450.13)


def test_an_accuracy_is_reproduced_if_the_published_change_lies_in_our_interval(tmp_cache: Path) -> None:
    method_rows.save_bert()
    verdicts = said()
    assert verdicts["dynamic-int8", "accuracy"] == "reproduced"  # 0 points here and there
    assert verdicts["qlora", "accuracy"] == "not reproduced"  # 20 points lost here, 1.2 there
    assert verdicts["qat", "accuracy"] == UNMEASURED


@pytest.mark.parametrize(
    ("latency", "verdict"), [(20.0, "not reproduced"), (90.0, "reproduced"), (41.0, "not reproduced")]
)
def test_a_speed_is_reproduced_on_the_same_side_of_float(tmp_cache: Path, latency: float, verdict: str) -> None:
    method_rows.save()
    method_rows.save(method="dynamic-int8", detail={"latency_ms_per_batch": latency})  # published: 35 times slower
    assert said()["dynamic-int8", "speed"] == verdict


@pytest.mark.parametrize(("detail", "verdict"), [({"load": 9.0}, BUSY), ({"cpu": "B"}, UNMEASURED)])
def test_times_that_say_nothing_give_no_verdict(tmp_cache: Path, detail: dict[str, Any], verdict: str) -> None:
    method_rows.save()
    method_rows.save(method="dynamic-int8", detail=detail)
    assert said()["dynamic-int8", "speed"] == verdict


@pytest.mark.parametrize(("size", "verdict"), [(25.0, "reproduced"), (27.0, "reproduced"), (40.0, "not reproduced")])
def test_a_size_is_reproduced_within_a_tenth(tmp_cache: Path, size: float, verdict: str) -> None:
    method_rows.save("gpt2", "ag-news")
    method_rows.save("gpt2", "ag-news", "int8-scratch", detail={"size_mb": size})
    assert said("gpt2", "ag-news")["int8-scratch (affine)", "size"] == verdict


def test_verdicts_are_counted(tmp_cache: Path) -> None:
    method_rows.save_bert()
    lines = method_verdicts.verdicts(compared())
    assert sum(int(part.split()[0]) for part in method_verdicts.describe_verdicts(lines).split(";")) == len(lines) == 6


def test_a_corpus_without_a_report_has_nothing_beside_it(tmp_cache: Path) -> None:
    method_rows.save(corpus="other")
    found = compared(corpus="other")
    assert (method_verdicts.beside(found), method_verdicts.verdicts(found)) == ([], [])


def test_tables_of_report_4_that_disagree_are_named(tmp_cache: Path) -> None:
    method_rows.save()
    method_rows.save("gpt2", "ag-news")
    text = method_verdicts.describe_contradiction(compared("gpt2", "ag-news"))
    assert "Baseline FP32 94.70 % against 94.59 %" in text
    assert "NF4 BnB 94.47 % against 94.58 %" in text or "NF4 BnB 94.48 % against 94.58 %" in text
    assert method_verdicts.describe_contradiction(compared()) == ""


def test_odd_speeds_are_explained_where_a_report_gives_them(tmp_cache: Path) -> None:
    for kind, corpus, words in (("bert", "emotion", "CPU alone"), ("gpt2", "ag-news", "not arithmetic")):
        method_rows.save(kind, corpus)
        text = method_verdicts.explain_speeds(compared(kind, corpus))
        assert words in text
        assert "python -m benchmarks.methods" in text
    method_rows.save(corpus="other")
    assert method_verdicts.explain_speeds(compared(corpus="other")) == ""
