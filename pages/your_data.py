"""A labelled file of the reader's own: what was read of it, and jobs that train both models on it."""

from typing import Any

import streamlit as st

from core.background import jobs
from core.background.jobs import Job, JobSpec
from core.config import BIT_WIDTHS, CorpusSpec
from core.display import previews
from core.display.previews import Preview
from core.errors import InputError
from core.text import uploads
from core.text.files import FORMATS
from pages import parts, widgets

POLL_S = 1.0
AMOUNTS = ("Quick look", "Everything")
SIGNS: dict[str, tuple[str, Any]] = {  # icon and colour of a status
    "waiting": (":material/schedule:", "gray"),
    "running": (":material/sync:", "blue"),
    "done": (":material/check:", "green"),
    "failed": (":material/error:", "red"),
    "cancelled": (":material/block:", "gray"),
    "lost": (":material/help:", "orange"),
}
VIEWS = (("compare", "Compare"), ("bits", "Bit-width"), ("losses", "Losses"), ("try_it", "Try it"))
STORED = f"""
- An upload is kept on the machine that runs this app, below `{uploads.place()}`, under its content's hash, until you
  delete it. A file that you name by its path is read where it lies.
- Training adds to the artifact folder: encoded texts, both models' weights with their vocabulary, quantized models,
  results. Deleting an upload leaves these; `python -m core clean` removes all that was not shipped.
- Whoever can open this app can see what is here. Nothing is sent to another machine.
"""


def take_upload() -> None:
    file = st.session_state["upload"]
    st.session_state.pop("fault", None)
    if file is None:
        return
    try:
        st.session_state["file"] = uploads.keep(file.name, file.getvalue())
    except InputError as error:
        st.session_state["fault"] = str(error)


def drop_upload(path: str) -> None:
    uploads.delete(path)
    st.session_state["file"] = None


def resume(job: Job) -> None:
    try:
        jobs.submit(job.spec)
    except InputError as error:
        st.session_state["fault"] = str(error)


def choose_file() -> str | None:
    st.file_uploader(
        "Upload a file with a text and a label in each row",
        [suffix.removeprefix(".") for suffix in FORMATS],
        key="upload",
        on_change=take_upload,
        max_upload_size=uploads.MAX_MB,
        help="CSV and TSV start with a line of column names; JSONL has an object in each line; text is UTF-8. "
        "A column called split (train, validation, test) is followed; else a fifth of each class becomes the test.",
    )
    if fault := st.session_state.get("fault"):
        st.error(widgets.plain(fault), icon=":material/error:")
    kept = uploads.kept()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        path = st.selectbox(
            "File",
            kept,
            index=None,
            placeholder="Choose an upload, or type the path of a file",
            accept_new_options=True,
            key="file",
            bind="query-params",
        )
        st.button(
            "Delete this upload",
            key="delete",
            on_click=drop_upload,
            args=(path,),
            disabled=path not in kept or any(job.active and job.spec.corpus.name == path for job in jobs.listed()),
            icon=":material/delete:",
            help="Removes the file. What was trained on it stays.",
        )
    with st.popover("What is stored where?", type="tertiary", icon=":material/folder:"):
        st.markdown(STORED)
    return path.strip() if path else None


def choose_columns(path: str) -> CorpusSpec:
    names = previews.columns(path)
    left, right = st.columns(2)
    chosen = [
        column.selectbox(label, names, index=None, placeholder="guessed", key=key, bind="query-params")
        for column, label, key in ((left, "Text column", "text_column"), (right, "Label column", "label_column"))
    ]
    return CorpusSpec(name=path, text_column=chosen[0], label_column=chosen[1])


def show_file(preview: Preview) -> None:
    corpus = preview.corpus
    st.markdown(widgets.plain(previews.describe(preview)))
    st.caption(widgets.plain(" ".join(filter(None, (corpus.source, f"{corpus.note}." if corpus.note else "")))))
    for sentence in previews.doubts(preview):
        st.warning(widgets.plain(sentence), icon=":material/warning:")
    left, right = st.columns(2)
    with left:
        st.markdown("**How many documents has each class?**")
        share = st.column_config.ProgressColumn("Share", format="%.1f %%", min_value=0, max_value=100)
        st.dataframe(previews.class_table(preview), hide_index=True, key="classes", column_config={"Share": share})
    with right:
        st.markdown("**How long are the texts?**")
        figure = previews.length_figure(preview, corpus.name)
        parts.chart(figure, "lengths", previews.describe_lengths(preview))
    st.markdown("**The first training documents**")
    narrow = st.column_config.TextColumn(width="small")
    st.dataframe(previews.examples(preview), hide_index=True, key="examples", column_config={"Class": narrow})


def offer_training(spec: CorpusSpec, preview: Preview) -> None:
    st.subheader("Train both models on it")
    sample = False
    if uploads.can_sample(preview.corpus):
        sizes = ", ".join(f"{count:,} {split}" for split, count in uploads.SAMPLE.items())
        amount = st.segmented_control(
            "How much of it",
            AMOUNTS,
            default=AMOUNTS[0],
            required=True,
            key="amount",
            help=f"Quick look: at most {sizes} documents, drawn at random with every class in its share, which become "
            "a corpus of their own (…-sample).",
        )
        sample = amount == AMOUNTS[0]
    bits = st.pills("Bit-widths", BIT_WIDTHS, selection_mode="multi", default=BIT_WIDTHS, key="widths")
    st.caption(
        "Both models are trained as on every other corpus (weights seed 0), then evaluated in float and at these "
        "widths (uniform, fitted ranges, gpfq, conditional calibration). You may close this page meanwhile."
    )
    if st.button("Train both models", type="primary", key="train", icon=":material/model_training:"):
        jobs.submit(JobSpec(corpus=uploads.prepare(spec, sample), bits=tuple(bits)))
        st.rerun()


def show_job(job: Job) -> None:
    icon, colour = SIGNS[job.state.status]
    with st.container(border=True, key=f"job-{job.key}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(job.state.status, icon=icon, color=colour)
            st.markdown(f"**{widgets.plain(job.title)}**")
        st.caption(widgets.plain(f"{job.spec.corpus.name}; {job.settings}"))
        if job.active or job.state.status != "done":
            st.progress(job.share, f"{100 * job.share:.0f} %")
        st.markdown(widgets.plain(jobs.describe(job)))
        if job.state.status == "done":
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown("See it in")
                for page, title in VIEWS:
                    st.page_link(f"pages/{page}.py", label=title, query_params={"corpus": job.spec.corpus.name})
        show_actions(job)


def show_actions(job: Job) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if job.active:
            st.button("Cancel", key=f"cancel-{job.key}", on_click=jobs.cancel, args=(job.key,))
        elif job.state.status != "done":
            st.button("Resume", key=f"resume-{job.key}", on_click=resume, args=(job,), type="primary")
        if not job.active:
            st.button("Remove from the list", key=f"remove-{job.key}", on_click=jobs.remove, args=(job.key,))
        log = st.toggle("Log", key=f"log-{job.key}")
    if log:
        st.code(jobs.log_tail(job.key) or "nothing yet", language=None, wrap_lines=True, height=260)


def show_jobs(polled: bool) -> None:
    listed = jobs.listed()
    for job in listed:
        show_job(job)
    if not listed:
        st.caption("No job yet.")
    if polled != any(job.active for job in listed):
        st.rerun()


def show() -> None:
    path = choose_file()
    if path:
        spec = choose_columns(path)
        preview = previews.read(spec)
        show_file(preview)
        offer_training(spec, preview)
    else:
        st.info("Upload a file, or name one, to see what is read of it. Nothing is trained before you say so.")


st.title("What do fewer bits do to your own texts?")
try:
    show()
except InputError as error:
    st.error(widgets.plain(str(error)), icon=":material/error:")
st.subheader("Jobs")
active = any(job.active for job in jobs.listed())
st.fragment(show_jobs, run_every=POLL_S if active else None)(active)
