"""From the landing page to a figure of the paper, in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from core.verdicts import paper
from core.verdicts.claims import condition_words
from core.verdicts.paper_figures import METHODS, figure_of

FIGURE = figure_of("Figure 10")


@pytest.mark.usefixtures("in_clone")
def test_a_figure_is_chosen_judged_and_kept_in_the_address(page: Page, app_server: str) -> None:
    expected = paper.claims_of(FIGURE, paper.judge_all(paper.read(["reuters-r8"]), ["reuters-r8"]))
    page.goto(app_server)
    page.get_by_text("Explore", exact=True).click()
    page.get_by_role("menuitem", name="Paper").click()
    expect(page.get_by_role("heading", name="Which claims hold here?")).to_be_visible()
    page.get_by_role("combobox", name="Figure").scroll_into_view_if_needed()
    page.get_by_role("combobox", name="Figure").click()
    page.get_by_role("option", name=FIGURE.source, exact=True).click()
    expect(page.get_by_role("heading", name=FIGURE.question)).to_be_visible()
    for judgement in expected:
        card = page.locator(f".st-key-claim-{judgement.claim.key}")
        expect(card).to_contain_text(judgement.words[1:])
    expect(page.get_by_role("figure")).to_have_count(2)
    page.get_by_role("radio", name=condition_words(METHODS[3])).click()
    expect(page).to_have_url(re.compile(r"figure=Figure.10.*method=uniform"))
    expect(page.locator("[data-stale=true]")).to_have_count(0)
    for width, scheme in ((390, "dark"), (2560, "light"), (1440, "light")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
