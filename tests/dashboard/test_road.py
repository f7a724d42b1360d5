"""The whole road in a browser, on a real stack: upload, form, live curves, a model, asking it, two runs compared."""

import re

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import Dashboard
from tests.dashboard.pages_api import reviews
from tests.dashboard.test_access import violations

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dashboard-road")]

HOSTILE = "<script>window.hacked=1</script>"
ENDED = re.compile("succeeded|failed|cancelled")
JOB_SECONDS = 240


def wait_until_it_succeeded(page) -> str:
    """The id of the job whose page is shown."""
    badge = page.locator(".page-head .badge, .job-head .badge").first
    expect(badge).to_have_text(ENDED, timeout=JOB_SECONDS * 1000)
    expect(badge).to_have_text("succeeded")
    found = re.search(r"ftjob-[0-9a-f]{32}", page.url)
    assert found is not None
    return found[0]


def test_from_an_upload_to_two_runs_compared(watched, stack):
    page, watch = watched
    dashboard = Dashboard(page, watch, str(stack.http.base_url).rstrip("/"))
    # another origin than the server's is out of reach for this browser, so that all of this works without a network
    dashboard.open("#/new")
    page.locator("input[type=file]").set_input_files(
        {"name": "reviews.jsonl", "mimeType": "application/jsonl", "buffer": reviews(labels=("no", HOSTILE))}
    )
    expect(page.get_by_role("table").get_by_text(HOSTILE).first).to_be_visible()
    expect(page.get_by_label("Base model")).to_have_value("tiny")
    page.get_by_label("Epochs").fill("2")
    page.get_by_label("Batch size").fill("4")
    page.get_by_label("Learning rate").fill("1e-3")
    page.get_by_label("Name", exact=True).fill("first")
    expect(page.get_by_text("Fits", exact=False).first).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Start the job").click()

    page.wait_for_url(re.compile("#/jobs/ftjob-"))
    page.wait_for_selector(".js-plotly-plot .trace", timeout=JOB_SECONDS * 1000)
    first = wait_until_it_succeeded(page)
    assert violations(page) == []

    page.get_by_role("link", name="Try it").last.click()
    page.wait_for_selector(".try[data-ready]")
    page.get_by_label("Text", exact=True).fill("a very good film")
    page.get_by_role("button", name="Add an input").click()
    page.get_by_label("Text", exact=True).nth(1).fill(HOSTILE)
    page.get_by_role("button", name="Ask the model").click()
    answers = page.get_by_role("list", name="Answers, newest first")
    expect(answers.locator(".answer")).to_have_count(2, timeout=60_000)
    expect(answers.get_by_text(HOSTILE)).to_have_count(3)  # a label of both, and what was asked
    scores = [float(text) for text in answers.locator(".answer").first.locator(".number").all_text_contents()]
    assert sum(scores) == pytest.approx(1, abs=1e-3)
    assert violations(page) == []

    dashboard.open(f"#/jobs/{first}")
    page.get_by_role("link", name="Use as template").click()
    page.wait_for_selector("form.new-job")
    expect(page.get_by_label("Learning rate")).to_have_value("0.001")
    expect(page.get_by_label("Seed")).to_have_value("")  # was left alone, so it is again
    page.get_by_label("Learning rate").fill("1e-5")
    page.get_by_label("Name", exact=True).fill("second")
    page.get_by_role("button", name="Start the job").click()
    page.wait_for_url(lambda url: "#/jobs/ftjob-" in url and first not in url)
    second = wait_until_it_succeeded(page)

    dashboard.open(f"#/compare?jobs={first},{second}")
    different = page.get_by_role("region", name="Settings that differ")
    expect(different.get_by_role("row")).to_have_count(2)
    expect(different.get_by_role("row").nth(1)).to_have_text(re.compile(r"training\.learning_rate.*0\.001.*0\.00001"))
    expect(page.get_by_role("region", name="Scores").get_by_text("best:").first).to_be_attached()
    page.wait_for_selector(".js-plotly-plot .trace")
    loss = page.get_by_role("img", name=re.compile(r"^Chart of train.loss\. first: .*second: "))
    expect(loss).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("window.hacked") is None
