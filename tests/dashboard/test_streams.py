import pytest
from playwright.sync_api import expect

from tests.dashboard.archive import say, settings_of
from tests.dashboard.conftest import Dashboard
from tests.dashboard.cutting import CuttableWay

pytestmark = pytest.mark.xdist_group("dashboard")

NUMBERS = "[...document.querySelectorAll('.events li')].map(li => Number(li.dataset.number))"


def test_a_cut_stream_goes_on_without_gap_and_without_repetition(watched, url, archive):
    page, watch = watched
    way = CuttableWay(url)
    try:
        Dashboard(page, watch, way.url).open(f"#/jobs/{archive.running}?tab=events")
        expect(page.get_by_text("Event 2.")).to_be_visible()
        for round_number in range(2):
            way.cut()
            with settings_of(archive.home):
                say(archive.running, f"Said while the way was cut, {round_number}.")
            expect(page.get_by_text("The server cannot be reached")).to_be_visible()
            way.mend()
            expect(page.get_by_text(f"Said while the way was cut, {round_number}.")).to_be_visible(timeout=40_000)
            expect(page.get_by_text("The server cannot be reached")).to_be_hidden()
        numbers = page.evaluate(NUMBERS)
        assert numbers == list(range(1, numbers[-1] + 1))
    finally:
        way.close()
        page.close()
    assert all("ERR_" in error for error in watch.errors), watch.errors  # the cuts themselves
    watch.errors.clear()
