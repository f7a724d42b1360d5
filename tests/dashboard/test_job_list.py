import re

import pytest
from playwright.sync_api import expect

from tests.dashboard.archive import add_job, set_job, settings_of, spec
from tests.stack.processes import eventually

pytestmark = pytest.mark.xdist_group("dashboard")


def rows(page):
    return page.locator("tbody tr")


def test_a_thousand_jobs_are_listed_a_page_at_a_time(dashboard):
    page = dashboard.open()
    expect(rows(page)).to_have_count(25)
    page.get_by_role("button", name="Load more").click()
    expect(rows(page)).to_have_count(75)
    ids = [row.get_attribute("data-job") for row in rows(page).all()]
    assert ids == sorted(set(ids), reverse=True)


def test_the_list_asks_for_one_page_whatever_the_number_of_jobs(dashboard):
    """How long it takes is told by benchmarks/dashboard.py."""
    page = dashboard.open()
    asked = page.evaluate("performance.getEntriesByType('resource').map(entry => [entry.name, entry.encodedBodySize])")
    listings = [size for name, size in asked if "/jobs?" in name]
    assert listings
    assert max(listings) < 200_000
    assert not any("plotly" in name for name, _ in asked), "what draws curves is not waited for"


def test_filters_by_status_and_text_survive_a_reload(dashboard, archive):
    page = dashboard.open()
    page.get_by_label("Filter by status").select_option("failed")
    expect(page.locator(".badge.succeeded")).to_have_count(0)
    page.get_by_label("Search jobs by text").fill("broken")
    expect(rows(page)).to_have_count(1)
    assert rows(page).first.get_attribute("data-job") == archive.failed
    page.reload()
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_label("Filter by status")).to_have_value("failed")


def test_a_text_is_looked_for_beyond_the_first_page(dashboard):
    page = dashboard.open()
    page.get_by_label("Search jobs by text").fill("run-900")
    expect(rows(page)).to_have_count(1)
    expect(rows(page).get_by_role("link")).to_have_text("run-900")


def test_a_new_job_and_a_change_show_up_without_moving_the_focus(dashboard, archive):
    page = dashboard.open()
    page.locator(f"tr[data-job='{archive.finished}']").get_by_role("checkbox").focus()
    with settings_of(archive.home):
        new = add_job(status="queued", spec=spec(suffix="just-now"))
    expect(rows(page).first).to_have_attribute("data-job", new)
    expect(rows(page).first.locator(".badge")).to_have_text("queued")
    with settings_of(archive.home):
        set_job(new, status="cancelled", finished_at=None)
    expect(rows(page).first.locator(".badge")).to_have_text("cancelled")
    focused = page.evaluate("document.activeElement.closest('tr')?.dataset.job")
    assert focused == archive.finished


def test_several_jobs_are_selected_for_comparison(dashboard, archive):
    page = dashboard.open()
    for job in (archive.finished, archive.long):
        page.locator(f"tr[data-job='{job}']").get_by_role("checkbox").check()
    link = page.get_by_role("main").get_by_role("link", name="Compare")
    expect(link).to_have_attribute("href", re.compile(f"#/compare\\?jobs={archive.finished}%2C{archive.long}"))


def test_a_job_is_cancelled_from_the_list_after_a_question(dashboard, archive):
    with settings_of(archive.home):
        job = add_job(status="queued", spec=spec(suffix="unwanted"))
    page = dashboard.open()
    row = page.locator(f"tr[data-job='{job}']")
    row.get_by_role("button", name="Cancel: unwanted").click()
    page.get_by_role("button", name="Keep as it is").click()
    expect(row.locator(".badge")).to_have_text("queued")
    row.get_by_role("button", name="Cancel: unwanted").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(row.locator(".badge")).to_have_text("cancelled")


def test_a_hidden_tab_asks_for_nothing(dashboard):
    page = dashboard.open()
    page.evaluate("""() => {
        Object.defineProperty(document, "hidden", {configurable: true, get: () => true});
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    page.wait_for_timeout(1000)  # what was on its way may come
    before = len(dashboard.watch.requests)
    page.wait_for_timeout(3000)  # a job runs, so that a visible one asks every other second
    assert len(dashboard.watch.requests) == before
    page.evaluate("""() => { delete document.hidden; document.dispatchEvent(new Event("visibilitychange")); }""")
    assert eventually(lambda: page.evaluate("1") and len(dashboard.watch.requests) > before)
