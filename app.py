"""The Bitdial app: `streamlit run app.py`."""

from importlib import import_module
from pathlib import Path
from threading import Thread

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

ICON, STYLE = (Path(__file__).parent / ".streamlit" / name for name in ("icon.svg", "style.css"))


def visit() -> None:
    from pages import parts  # not on top: the server imports this file before it answers

    st.set_page_config(page_title="Bitdial", page_icon=ICON, layout="wide", menu_items={"About": "Bitdial"})
    st.html(STYLE)
    pages = {
        "": [
            st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:", default=True),
            st.Page("pages/try_it.py", url_path="try-it", title="Try it", icon=":material/edit_note:"),
            st.Page("pages/your_data.py", url_path="your-data", title="Your data", icon=":material/upload_file:"),
        ],
        "Explore": [
            st.Page("pages/bits.py", url_path="bit-width", title="Bit-width", icon=":material/show_chart:"),
            st.Page("pages/noise.py", url_path="input-noise", title="Noise", icon=":material/blur_on:"),
            st.Page("pages/calibration.py", url_path="calibration-set", title="Calibration", icon=":material/tune:"),
            st.Page("pages/losses.py", url_path="token-losses", title="Losses", icon=":material/area_chart:"),
            st.Page(
                "pages/distributions.py",
                url_path="site-distributions",
                title="Distributions",
                icon=":material/bar_chart:",
            ),
            st.Page("pages/methods.py", url_path="methods", title="Methods", icon=":material/layers:"),
            st.Page("pages/paper.py", url_path="published-study", title="Paper", icon=":material/fact_check:"),
        ],
        "Learn": [
            st.Page("pages/lesson.py", url_path="ten-minute-lesson", title="Guide", icon=":material/school:"),
            st.Page("pages/guide.py", url_path="glossary", title="What the numbers mean", icon=":material/menu_book:"),
            st.Page("pages/about.py", url_path="about-bitdial", title="About", icon=":material/info:"),
        ],
    }
    chosen = st.navigation(pages, position="top")
    parts.start()
    chosen.run()
    name = chosen.url_path or "compare"
    parts.offer_charts(name)
    parts.settle(name)


if __name__ == "__main__":  # run for a visitor
    visit()
elif __name__ == "app":  # imported by the server, once, before anyone visits
    # Else Streamlit would make pages of the files in pages/ until the first visit, which would find no other address.
    PagesManager.uses_pages_directory = False
    Thread(target=import_module, args=("pages.pair",), daemon=True).start()  # while the first browser loads its own
    app = st.App(__file__)
