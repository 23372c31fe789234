"""The page for a file of the reader's own: what it shows of one, what it refuses, and the jobs it starts and lists."""

import time
from pathlib import Path

import pytest
import tiny
from browser import ROOT
from streamlit.testing.v1 import AppTest
from test_app import messages

from core.background import jobs
from core.background.jobs import JobSpec, State
from core.config import CorpusSpec
from core.display import previews
from core.text import uploads


@pytest.fixture
def submitted(tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[JobSpec]:
    """The jobs that the page asks for; none is started."""
    asked: list[JobSpec] = []
    monkeypatch.setattr(jobs, "submit", asked.append)
    return asked


def open_page(**query: str) -> AppTest:
    app = AppTest.from_file(ROOT / "pages" / "your_data.py", default_timeout=60)
    app.query_params.update(query)
    return app.run()


def write_job(corpus: str, status: str, **changes: object) -> str:
    spec, now = JobSpec(corpus=CorpusSpec(name=corpus)), time.time()
    folder = jobs._folder(spec.fingerprint())
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(spec.model_dump_json())
    (folder / "log.txt").write_text("epoch 1 of it\n")
    jobs.write_state(folder, State.model_validate({"status": status, "queued": now, "updated": now, **changes}))
    return folder.name


def test_without_a_file_nothing_is_shown_but_how_to_give_one(submitted: list[JobSpec]) -> None:
    app = open_page()
    assert messages(app) == []
    assert app.info[0].value.startswith("Upload a file, or name one")
    assert [button.key for button in app.button] == ["delete"]
    assert app.button(key="delete").disabled


def test_what_was_read_is_shown_before_training_and_trained_on_a_click(
    submitted: list[JobSpec], tmp_path: Path
) -> None:
    path = uploads.keep("news.csv", tiny.write_corpus(tmp_path / "news.csv").read_bytes())
    app = open_page(file=path)
    assert messages(app) == []
    assert submitted == []
    assert app.dataframe[0].value["Training"].tolist() == [26, 26, 26]
    assert len(app.dataframe[1].value) == 8
    (chart,) = app.get("plotly_chart")
    assert chart.proto.alt == previews.describe_lengths(previews.read(CorpusSpec(name=path)))
    app.button(key="train").click().run()
    assert messages(app) == []
    assert [(spec.corpus.name, spec.bits) for spec in submitted] == [(path, (8, 7, 6, 5, 4, 3))]


def test_columns_can_be_chosen(submitted: list[JobSpec]) -> None:
    rows = "".join(f"{text},{label}\n" for text, label in tiny.rows_of(10))
    path = uploads.keep("odd.csv", f"a,b\n{rows}".encode())
    app = open_page(file=path)
    assert "no column looks like the text" in messages(app)[0].replace("\\", "")
    app.selectbox(key="text_column").set_value("a").run()
    app.selectbox(key="label_column").set_value("b").run()
    assert messages(app) == []
    app.button(key="train").click().run()
    (made,) = (spec.corpus.name for spec in submitted)
    assert {made, path} == set(uploads.kept())
    assert Path(made).name == "odd-a-b.jsonl"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\na,x\n", "every row has the label 'x'"),
        ("text,label\na,x\n,y\n", "line 3: the text is empty"),
        ("text,label\na,x,z\n", "3 cells where the header has 2"),
        (None, "does not exist"),
    ],
)
def test_a_bad_file_is_explained(submitted: list[JobSpec], tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "bad.csv"
    if content:
        path.write_text(content)
    app = open_page(file=str(path))
    (message,) = messages(app)
    assert words in message.replace("\\", "")
    assert [button.key for button in app.button] == ["delete"]


def test_a_large_file_offers_a_sample_first(
    submitted: list[JobSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "SAMPLE", {"train": 9, "validation": 3, "test": 3})
    path = uploads.keep("news.csv", tiny.write_corpus(tmp_path / "news.csv").read_bytes())
    app = open_page(file=path)
    app.button(key="train").click().run()
    app.segmented_control(key="amount").set_value("Everything").run()
    app.button(key="train").click().run()
    assert messages(app) == []
    assert [Path(spec.corpus.name).name for spec in submitted] == ["news-sample.jsonl", "news.csv"]


def test_an_upload_is_deleted_on_a_click(submitted: list[JobSpec], tmp_path: Path) -> None:
    path = uploads.keep("news.csv", tiny.write_corpus(tmp_path / "news.csv").read_bytes())
    app = open_page(file=path)
    app.button(key="delete").click().run()
    assert (messages(app), uploads.kept(), app.selectbox(key="file").value) == ([], [], None)


@pytest.mark.parametrize("status", ["failed", "cancelled", "running"])
def test_a_job_that_ended_early_is_said_and_can_go_on(submitted: list[JobSpec], tmp_path: Path, status: str) -> None:
    path = str(tiny.write_corpus(tmp_path / "news.csv"))
    key = write_job(path, status, error="No space left on device.")
    app = open_page()
    assert messages(app) == []
    job = jobs.find(key)
    assert job is not None
    assert jobs.describe(job) in [line.value.replace("\\", "") for line in app.markdown]
    app.toggle(key=f"log-{key}").set_value(True).run()
    assert app.code[0].value == "epoch 1 of it"
    app.button(key=f"resume-{key}").click().run()
    assert submitted == [job.spec]
    app.button(key=f"remove-{key}").click().run()
    assert (messages(app), jobs.listed()) == ([], [])
