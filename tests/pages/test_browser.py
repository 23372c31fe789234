"""The browser tests' own tools: a Chromium is found, a broken page or a broken app is noticed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import browser as tools
import pytest
from playwright.sync_api import Browser, Page, expect


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes programs on an otherwise empty PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BITDIAL_CHROMIUM", raising=False)

    def make(name: str) -> str:
        (tmp_path / name).touch(mode=0o755)
        return str(tmp_path / name)

    return make


def test_the_first_known_browser_is_found(programs: Callable[[str], str]) -> None:
    assert tools.find_chromium() is None
    last = programs("google-chrome")
    assert tools.find_chromium() == last
    assert tools.find_chromium() != programs("chromium") == tools.find_chromium()


def test_a_named_browser_wins(programs: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    programs("chromium")
    monkeypatch.setenv("BITDIAL_CHROMIUM", programs("mine"))
    assert tools.find_chromium() == programs("mine")


def test_a_named_browser_that_is_not_there_is_refused(
    programs: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    programs("chromium")
    monkeypatch.setenv("BITDIAL_CHROMIUM", "absent")
    with pytest.raises(FileNotFoundError, match="BITDIAL_CHROMIUM='absent' is no program"):
        tools.find_chromium()


def test_nothing_is_installed_without_apt_get(
    programs: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    tools.install_chromium()
    assert "cannot be installed here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<script>console.error('broken chart')</script>", "console: broken chart"),
        ("<script>throw new Error('no data')</script>", "uncaught: no data"),
        ("<img src='https://example.invalid/pixel.png'>", "asks for https://example.invalid/pixel.png"),
    ],
)
def test_a_page_that_complains_is_noticed(browser: Browser, body: str, complaint: str) -> None:
    with browser.new_context(offline=True) as context:
        page = context.new_page()
        found = tools.complaints(page)
        page.set_content(body)
        assert complaint in found


def test_a_quiet_page_is_quiet(page: Page) -> None:
    found = tools.complaints(page)
    page.set_content("<h1>Which class breaks first?</h1><script>console.log('fine')</script>")
    expect(page.get_by_role("heading")).to_have_text("Which class breaks first?")
    assert page.viewport_size == {"width": 1440, "height": 900}
    assert found == []


@pytest.fixture
def greeting(tmp_path: Path) -> Iterator[str]:
    script = tmp_path / "script.py"
    script.write_text("import os, streamlit as st\nst.title(os.environ['GREETING'])")
    with tools.serve(script, tmp_path / "log", GREETING="hello") as address:
        yield address


def test_a_script_is_served_with_its_environment(greeting: str, page: Page) -> None:
    page.goto(greeting)
    expect(page.get_by_role("heading", name="hello")).to_be_visible()


def test_an_app_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match=r"(?s)did not come up.*absent\.py"),
        tools.serve(tmp_path / "absent.py", tmp_path / "log"),
    ):
        pass
