"""The Bitdial app: `streamlit run app.py`."""

from pathlib import Path

import streamlit as st

ICON = Path(__file__).parent / ".streamlit" / "icon.svg"

st.set_page_config(page_title="Bitdial", page_icon=ICON, layout="wide", menu_items={"About": "Bitdial"})
st.navigation(
    [
        st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:", default=True),
        st.Page("pages/guide.py", title="What the numbers mean", icon=":material/menu_book:"),
    ],
    position="top",
).run()
