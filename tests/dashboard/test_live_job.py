"""The whole service, a job, and the page on which a user watches it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import Dashboard
from tests.road.conftest import Service
from tests.road.tiny import reviews

pytestmark = [pytest.mark.xdist_group("dashboard-road"), pytest.mark.slow]


def test_a_job_is_watched_from_the_queue_to_its_model(stack: Service, watched, tmp_path):
    service = stack
    files = {"train": service.upload(reviews(160, seed=1)), "validation": service.upload(reviews(40, seed=2))}
    dashboard = Dashboard(*watched, str(service.http.base_url).rstrip("/"))
    page = dashboard.open()
    expect(page.get_by_role("heading", name="No job yet")).to_be_visible()
    job = service.submit(
        model="tiny", dataset=files, suffix="watched",
        training={"max_steps": 60, "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 20},
    )  # fmt: skip
    page.get_by_role("link", name="watched").click()
    badge = page.locator("h1 + span .badge")
    expect(badge).to_have_text("succeeded", timeout=120_000)
    expect(page.get_by_role("row", name="Validation")).to_be_visible()
    page.wait_for_selector(".chart[data-points='63']")
    page.get_by_role("tab", name="Evaluation").click()
    expect(page.get_by_role("row", name=re.compile("^praise ")).first).to_be_visible()
    page.get_by_role("tab", name="Events").click()
    events = service.http.get(f"/jobs/{job}/events").json()["data"]
    expect(page.locator(".events li")).to_have_count(len(events))  # they come as a stream
    told = [int(item.get_attribute("data-number")) for item in page.locator(".events li").all()]
    assert told == [event["number"] for event in events]
    page.get_by_role("tab", name="Overview").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    assert "watched" in download.value.suggested_filename
    assert Path(download.value.path()).read_bytes().startswith(b"PK")
