"""For those who do not use a mouse, or do not see the page."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

pytestmark = pytest.mark.xdist_group("dashboard")


SERIOUS = {"serious", "critical"}
TABS = ["Overview", "Evaluation", "Data", "Checkpoints", "Events", "Log", "Spec"]


def violations(page, rules: dict | None = None) -> list[str]:
    found = Axe().run(page, options=rules).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:160] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in SERIOUS
    ]


COLOURS = {"runOnly": ["color-contrast"]}
"""All in which the themes differ."""


@pytest.mark.parametrize(("theme", "rules"), [("light", None), ("dark", COLOURS)])
def test_axe_finds_nothing_serious(dashboard, archive, theme, rules):
    dashboard.page.emulate_media(color_scheme=theme)
    page = dashboard.open()
    page.get_by_role("checkbox").first.check()
    assert violations(page, rules) == []
    page = dashboard.open(f"#/jobs/{archive.finished}")
    page.wait_for_selector(".js-plotly-plot .trace")
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel", name=tab).locator(".card").first).to_be_visible()
        assert violations(page, rules) == [], tab
    for job in (archive.failed, archive.running):
        assert violations(dashboard.open(f"#/jobs/{job}"), rules) == []
    page.get_by_role("button", name="Cancel").click()
    assert violations(page, rules) == []


def test_a_job_is_found_and_read_with_the_keyboard_alone(dashboard, archive):
    page = dashboard.open()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="New job")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Search jobs by text")).to_be_focused()
    page.keyboard.type("paraphrase")
    expect(page.locator("tbody tr")).to_have_count(1)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "paraphrase":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="paraphrase")).to_be_focused()
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "tab":
            break
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Evaluation")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Evaluation")).to_be_visible()
    page.keyboard.press("End")
    expect(page.get_by_role("tabpanel", name="Spec")).to_be_visible()
    page.keyboard.press("Home")
    expect(page.get_by_role("tabpanel", name="Overview")).to_be_visible()


def test_the_theme_is_chosen_and_remembered(dashboard):
    page = dashboard.open()
    scheme = "getComputedStyle(document.documentElement).colorScheme"
    page.get_by_role("button", name="System theme").click()
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(scheme) == "dark"
    page.reload()
    expect(page.get_by_role("button", name="Dark theme")).to_be_visible()
    assert page.evaluate(scheme) == "dark"


def test_on_a_phone_nothing_is_wider_than_the_page(dashboard, archive):
    dashboard.page.set_viewport_size({"width": 390, "height": 844})
    for fragment in ("#/jobs", f"#/jobs/{archive.finished}", f"#/jobs/{archive.hostile}"):
        page = dashboard.open(fragment)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, fragment
