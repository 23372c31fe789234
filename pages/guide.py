"""What each quantity means, in plain words and as a formula."""

import streamlit as st

from core.teaching.guide import ENTRIES

st.title("What the numbers mean")
st.markdown("Every quantity that the app shows, in plain words, then as it is computed.")
for entry in ENTRIES:
    st.subheader(entry.name, anchor=entry.anchor)
    st.markdown(entry.words)
    if entry.formula:
        st.latex(entry.formula)
    if entry.source:
        st.caption(entry.source)
