"""The Bitdial app: `streamlit run app.py`."""

from pathlib import Path

import streamlit as st

ICON = Path(__file__).parent / ".streamlit" / "icon.svg"

st.set_page_config(page_title="Bitdial", page_icon=ICON, layout="wide", menu_items={"About": "Bitdial"})
# No address is the name of a file in pages/: until this script has run once, Streamlit would run that file alone.
st.navigation(
    [
        st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:", default=True),
        st.Page("pages/try_it.py", url_path="try-it", title="Try it", icon=":material/edit_note:"),
        st.Page("pages/bits.py", url_path="bit-width", title="Bit-width", icon=":material/show_chart:"),
        st.Page("pages/noise.py", url_path="input-noise", title="Noise", icon=":material/blur_on:"),
        st.Page("pages/losses.py", url_path="token-losses", title="Losses", icon=":material/area_chart:"),
        st.Page("pages/paper.py", url_path="published-study", title="Paper", icon=":material/fact_check:"),
        st.Page("pages/guide.py", url_path="glossary", title="What the numbers mean", icon=":material/menu_book:"),
    ],
    position="top",
).run()
