"""The Methods page: an empty store, stored methods, an address, what is refused; nothing computed."""

from pathlib import Path

import method_rows
import pytest
from test_app import figures, messages
from test_pages import open_page

from core.transformers.transformer_config import METHODS


@pytest.mark.parametrize(("kind", "corpus"), [("bert", "emotion"), ("gpt2", "ag-news")])
def test_an_empty_store_says_what_to_run(kind: str, corpus: str, tmp_cache: Path) -> None:
    app = open_page("methods", model=kind)
    assert messages(app) == []
    lines = [f"python -m core evaluate {corpus} --model {kind} --method {method}" for method in METHODS[kind]]  # type: ignore[index]
    assert [code.value.splitlines() for code in app.code] == [lines]
    assert (figures(app), len(app.info)) == ({}, 1)
    assert list(app.dataframe[0].value["Published: accuracy (%)"]) != []
    assert set(app.dataframe[1].value["Verdict"]) == {"not measured yet"}


def test_stored_methods_are_shown_and_what_is_missing_is_named(tmp_cache: Path) -> None:
    method_rows.save_bert()
    app = open_page("methods")
    assert messages(app) == []
    assert set(figures(app)) == {"accuracy", "scores", "sizes-0", "sizes-1", "matrix"}
    captions = [caption.value for caption in app.caption]
    assert [chart.key for chart in app.get("plotly_chart") if chart.proto.alt not in captions] == []
    assert list(app.dataframe[0].value["Method"]) == list(METHODS["bert"])
    assert any("Published base: google-bert/bert-base-uncased. Ours: tiny encoder" in text for text in captions)
    assert [code.value for code in app.code] == ["python -m core evaluate emotion --model bert --method qat"]
    assert [button.label for button in app.get("download_button")] == ["Download as CSV"]


def test_the_published_sizes_have_a_chart_of_their_own(tmp_cache: Path) -> None:
    method_rows.save("gpt2", "ag-news")
    app = open_page("methods", model="gpt2")
    assert messages(app) == []
    assert {"sizes-0", "sizes-published"} <= set(figures(app))
    assert len(figures(app)["sizes-0"]) == 1


def test_the_address_chooses_method_view_and_noise(tmp_cache: Path) -> None:
    method_rows.save_bert()
    method_rows.save(wrong=60, noise=0.1)
    app = open_page("methods", method="qlora", confusion="difference")
    assert messages(app) == []
    assert min(map(min, figures(app)["matrix"][0]["z"])) < 0
    noisy = open_page("methods", noise="0.1")
    assert messages(noisy) == []
    assert len(figures(noisy)["accuracy"]) == 1  # float alone, and no report on noise


def test_a_busy_machine_is_warned_about(tmp_cache: Path) -> None:
    method_rows.save(detail={"load": 99.0})
    app = open_page("methods")
    assert messages(app) == []
    assert [warning.value.partition(":")[0] for warning in app.warning] == ["float"]


def test_the_difference_needs_float(tmp_cache: Path) -> None:
    method_rows.save(method="qat", wrong=20)
    app = open_page("methods", confusion="difference")
    assert messages(app) == []
    assert "no float result" in app.info[0].value
    assert "matrix" not in figures(app)


@pytest.mark.parametrize(("name", "shown"), [("model", "bert"), ("corpus", "emotion"), ("noise", "0.0")])
def test_an_address_that_names_no_choice_is_said(tmp_cache: Path, name: str, shown: str) -> None:
    method_rows.save_bert()
    app = open_page("methods", **{name: "nonsense"})
    (message,) = messages(app)
    assert (
        message == f"{name}=nonsense in the address is no choice of this page; {shown} is shown. Choose another here."
    )
