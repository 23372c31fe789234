"""The page about Bitdial, with an empty store and with the shipped one."""

from pathlib import Path

from browser import ROOT
from streamlit.testing.v1 import AppTest

from core.quantization.residents import KEPT
from core.teaching import about


def open_page() -> AppTest:
    app = AppTest.from_file(ROOT / "pages" / "about.py", default_timeout=60).run()
    assert [*app.exception, *app.error] == []
    return app


def test_an_empty_store_says_how_to_begin(tmp_cache: Path) -> None:
    KEPT.clear()
    app = open_page()
    assert [info.value.split(" is ")[0] for info in app.info] == ["No model", "No result"]
    assert app.code[0].value == "python -m core train reuters-r8 --model discriminative"
    assert len(app.dataframe) == 2
    assert app.code[-1].value == about.CITATION


def test_the_shipped_store_is_listed_with_its_cards(tmp_cache: Path) -> None:
    (tmp_cache / "shipped").symlink_to(ROOT / "cache" / "shipped")
    app = open_page()
    models, numbers, results = (table.value for table in app.dataframe[:3])
    assert len(models) == len(about.models())
    assert list(results["Results"]) == [row["Results"] for row in about.stored()]
    assert [box.label for box in app.expander] == [f"Model card: {corpus}" for corpus in about.cards()]
    assert list(numbers["Code"]) == [number.code for number in about.NUMBERS]
