"""What runs here, what is stored, how each number is made, and how to cite it."""

import streamlit as st

from core.teaching import about


def models() -> None:
    st.subheader("Which models are here?")
    if not (found := about.models()):
        st.info("No model is trained yet. Train the default corpus's, then reload this page:")
        st.code("python -m core train reuters-r8 --model discriminative", language="bash", wrap_lines=True)
        return
    st.dataframe(found, hide_index=True, key="models")
    st.caption("Accuracy on the whole test split in float, with Wilson's interval; computed from stored results.")
    for corpus, text in about.cards().items():
        with st.expander(f"Model card: {corpus}"):
            st.markdown(text.replace("# ", "#### "))


def numbers() -> None:
    st.subheader("How is each number made?")
    st.dataframe(about.numbers(), hide_index=True, key="numbers", height="content")
    st.caption(
        "Formulas: [glossary](glossary). Each row of the store also names its full configuration, its seeds and the "
        "versions it was made with."
    )


def store() -> None:
    st.subheader("What is stored?")
    left, right = st.columns(2)
    table = about.disk()
    with left:
        st.markdown("**Results**")
        if found := about.stored():
            st.dataframe(found, hide_index=True, key="results")
        else:
            st.info("No result is stored yet.")
    with right:
        st.markdown("**Disk**")
        if table:
            st.dataframe(table, hide_index=True, key="disk")
        st.caption(about.describe_disk(table))


def memory() -> None:
    st.subheader("What is in memory?")
    st.caption(about.describe_memory())
    if found := about.memory():
        st.dataframe(found, hide_index=True, key="memory")
        st.button("Empty it", key="empty", on_click=about.empty_memory, help="The next use loads a variant again.")


def cite() -> None:
    st.subheader("Licence and citation")
    st.markdown(
        "Bitdial is free software under the MIT licence (the file LICENSE beside the code). Corpora belong to their "
        "owners: the model cards above name their terms. It makes this study explorable: Md Mushfiqur Rahaman, Elliot "
        "Chang, Tasmiah Haque, Srinjoy Das, *Post-Training Quantization of Generative and Discriminative LSTM Text "
        "Classifiers: A Study of Calibration, Class Balance, and Robustness*, 2025."
    )
    st.code(about.CITATION, language="bibtex")


st.title("About Bitdial")
st.markdown(
    "Bitdial shows what fewer bits and noisy input do to text classifiers. The [guide](ten-minute-lesson) is the place "
    "to start, the [glossary](glossary) explains each number, and this page says what this copy of it is made of."
)
models()
numbers()
store()
memory()
st.subheader("Which machine and versions?")
st.dataframe(about.machine(), hide_index=True, key="machine", width="content")
cite()
