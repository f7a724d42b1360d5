import itertools

import pytest
from playwright.sync_api import expect

from tests.dashboard.archive import NUM_POINTS
from tests.stack.processes import eventually

pytestmark = pytest.mark.xdist_group("dashboard")

DRAWN = "document.querySelector('.chart .js-plotly-plot, .chart-plot.js-plotly-plot').data.map(d => d.x.length)"
PEAK = "Math.max(...document.querySelector('.js-plotly-plot').data[0].y)"


def until(page, condition):
    """Playwright's own way evaluates text within the page, whose policy forbids it."""
    assert eventually(lambda: page.evaluate(condition), seconds=45), condition


def test_curves_of_train_and_validation_are_drawn_after_the_page(dashboard, archive):
    page = dashboard.open(f"#/jobs/{archive.finished}")
    page.wait_for_selector(".js-plotly-plot .scatterlayer .trace")
    assert page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") < page.evaluate(
        "performance.getEntriesByType('resource').find(e => e.name.endsWith('plotly.min.js')).responseEnd"
    )
    expect(page.get_by_role("img", name="train/loss: 225 points")).to_be_visible()
    page.get_by_text("The 3 evaluations as a table").click()
    expect(page.get_by_role("row", name="225")).to_contain_text("0.85")


def test_a_hundred_thousand_points_stay_usable(dashboard, archive):
    page = dashboard.open(f"#/jobs/{archive.long}")
    expect(page.get_by_text(f"{NUM_POINTS:,} points", exact=True)).to_be_visible(timeout=120_000)
    page.wait_for_selector(f".chart[data-points='{NUM_POINTS}']")
    (drawn,) = page.evaluate(DRAWN)
    assert 400 < drawn < 4000
    assert page.evaluate(PEAK) == 9.0
    box = page.locator(".chart-plot").bounding_box()
    left, width = box["x"] + 56, box["width"] - 72
    page.mouse.move(left + 0.60 * width, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(left + 0.63 * width, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    until(page, "document.querySelector('.js-plotly-plot').data[0].x.at(-1) < 70000")
    x = page.evaluate("document.querySelector('.js-plotly-plot').data[0].x")
    assert 55_000 < x[0] < 61_803 < x[-1] < 68_000
    assert page.evaluate(PEAK) == 9.0
    gap = min(b - a for a, b in itertools.pairwise(x))
    assert gap == 1, "finer points where it is zoomed into"
    page.get_by_label("Smoothing").fill("0.9")
    until(page, "document.querySelector('.js-plotly-plot').data.length === 2")
    page.get_by_role("button", name="Log").click()
    until(page, "document.querySelector('.js-plotly-plot').layout.yaxis.type === 'log'")
    page.get_by_role("button", name="Reset zoom").click()
    until(page, "document.querySelector('.js-plotly-plot').data[0].x.at(-1) === 99999")


def test_the_curves_of_another_job_are_laid_over_and_stay_in_the_address(dashboard, archive):
    page = dashboard.open(f"#/jobs/{archive.finished}?with={archive.hostile}")
    until(page, "document.querySelector('.js-plotly-plot')?.data?.length === 2")
    names = page.evaluate("document.querySelector('.js-plotly-plot').data.map(d => d.name)")
    assert len(set(names)) == 2
    expect(page.get_by_role("list", name="Runs").get_by_role("listitem")).to_have_count(2)
    colours = page.evaluate("document.querySelector('.js-plotly-plot').data.map(d => d.line.color)")
    assert len(set(colours)) == 2


def test_metrics_are_asked_once_and_then_no_more(dashboard, archive):
    page = dashboard.open(f"#/jobs/{archive.finished}")
    page.wait_for_selector(".js-plotly-plot .trace")
    page.wait_for_timeout(3000)
    assert len(dashboard.watch.asked("/metrics")) == 1
