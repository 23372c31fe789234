"""A reader's own data in a real browser: good and bad uploads; a job is run, reloaded, cancelled, resumed and used."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from browser import LIMIT_MS as USUAL_LIMIT_MS
from browser import ROOT, serve
from playwright.sync_api import Browser, Page, expect

from core.background import jobs
from core.storage.store import Store

LIMIT_MS = 60_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An artifact folder with the shipped results; its jobs are ended afterwards."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "shipped").symlink_to(ROOT / "cache" / "shipped")
    (folder / "corpora").symlink_to(ROOT / "cache" / "corpora")
    yield folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BITDIAL_CACHE", str(folder))
        for job in jobs.listed():
            jobs.cancel(job.key)


@pytest.fixture(scope="module")
def address(place: Path, browser: Browser) -> Iterator[str]:
    with serve(ROOT / "app.py", place / "log", BITDIAL_CACHE=str(place), BITDIAL_DEVICE="cpu") as running:
        page = browser.new_page()
        page.goto(running)
        page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=LIMIT_MS)
        page.close()
        yield running


@pytest.fixture
def visit(browser: Browser, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setenv("BITDIAL_CACHE", str(place))
    expect.set_options(timeout=LIMIT_MS)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    expect.set_options(timeout=USUAL_LIMIT_MS)
    assert faults == []


def upload(page: Page, path: Path) -> None:
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(path)


def test_bad_uploads_are_explained_and_a_good_one_is_shown(visit: Page, address: str, tmp_path: Path) -> None:
    visit.goto(f"{address}/your-data")
    bad = tmp_path / "bad.csv"
    bad.write_bytes(b"text,label\n\xff,x\n")
    upload(visit, bad)
    alert = visit.get_by_role("alert")
    expect(alert.filter(has_text="bad.csv: line 2: byte 0xff is not UTF-8 text")).to_be_visible()
    lopsided = tmp_path / "lopsided.csv"
    lopsided.write_text("text,label\na,x\nb,x\n")
    upload(visit, lopsided)
    expect(alert.filter(has_text="every row has the label 'x'")).to_be_visible()
    expect(visit.get_by_role("button", name="Train both models")).to_have_count(0)
    upload(visit, tiny.write_corpus(tmp_path / "good.csv"))
    expect(visit.get_by_text("120 documents of 3 classes.")).to_be_visible()
    expect(visit.get_by_role("figure")).to_have_count(1)
    expect(visit).to_have_url(re.compile(r"file=.*good\.csv"))


def test_a_job_is_reloaded_cancelled_resumed_and_its_corpus_opens_elsewhere(
    visit: Page, address: str, tmp_path: Path
) -> None:
    visit.goto(f"{address}/your-data")
    upload(visit, tiny.write_corpus(tmp_path / "mine.csv", per_class=120))
    for bits in "87653":
        visit.get_by_role("button", name=bits, exact=True).click()
    visit.get_by_role("button", name="Train both models").click()
    box = visit.locator("[class*=st-key-job-]").filter(has_text="mine.csv")
    expect(box.get_by_text("float and 4 bits")).to_be_visible()
    expect(box.get_by_role("button", name="Cancel")).to_be_visible()
    visit.reload()
    box.get_by_role("button", name="Cancel").click()
    expect(box.get_by_text("Cancelled; what was finished is kept.")).to_be_visible()
    (job,) = jobs.listed()
    assert job.state.status == "cancelled"
    assert not jobs._is_held(jobs._folder(job.key))
    box.get_by_role("button", name="Resume").click()
    expect(box.get_by_text("Both models are trained and evaluated")).to_be_visible(timeout=3 * LIMIT_MS)
    assert len(Store().results(corpus=job.spec.corpus.name)) == 4
    box.get_by_text("Log", exact=True).click()
    expect(box.get_by_text("the generative model at 4 bits: accuracy")).to_be_visible()
    box.get_by_role("link", name="Compare").click()
    expect(visit.get_by_test_id("stMetric")).to_have_count(2)
    expect(visit).to_have_url(re.compile(r"corpus=.*mine\.csv"))
