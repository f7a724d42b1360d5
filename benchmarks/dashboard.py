"""How long is it until the dashboard shows something? In a real Chromium, without a network; prints a Markdown table.

    python benchmarks/dashboard.py [--repetitions 7]

A server on a database of 1,000 jobs, one of them with 100,000 points of a metric, beside one with 3 jobs. From the start of the
navigation, with an empty cache, to the first paint of any content, to the rows of the job list, and to the curve with all of its
points. Medians, and the range.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
NO_PREDICTOR = "tcp://127.0.0.1:9"
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
CONTENT = "performance.getEntriesByName('tunery:page')[0].startTime"


def main() -> None:
    from tests.dashboard.archive import NUM_POINTS
    from tests.dashboard.browser import running_browser

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7)
    repetitions = parser.parse_args().repetitions
    print("| | first paint ms | content ms |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, running_browser() as browser:
        for num_jobs in (3, 1000):
            with serving(Path(folder) / str(num_jobs), num_jobs=num_jobs) as (url, long_id):
                found = [opened(browser, f"{url}/#/jobs") for _ in range(repetitions)]
                print(f"| list of {num_jobs:,} jobs | {told(found, 0)} | {told(found, 1)} |")
        with serving(Path(folder) / "curve", num_jobs=3) as (url, long_id):
            ready = f".chart[data-points='{NUM_POINTS}']"
            found = [opened(browser, f"{url}/#/jobs/{long_id}", until=ready) for _ in range(min(repetitions, 3))]
            print(f"| a job with {NUM_POINTS:,} points; until all are drawn | {told(found, 0)} | {told(found, 2)} |")


@contextmanager
def serving(home: Path, *, num_jobs: int) -> Iterator[tuple[str, str]]:
    """Address, and the id of the job with many points."""
    from app.db.migrate import upgrade
    from tests.contract.endpoints import running_api
    from tests.dashboard.archive import fill, settings_of

    home.mkdir()
    with settings_of(home):
        upgrade()
    archive = fill(home, num_jobs=num_jobs)
    with running_api(home, NO_PREDICTOR) as url:
        yield url, archive.long
    shutil.rmtree(home)


def opened(browser: Browser, url: str, *, until: str | None = None) -> tuple[float, float, float]:
    """Milliseconds to the first paint, to the page's content, and to the element ``until``."""
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    try:
        page.goto(url)
        page.wait_for_selector(".page[data-ready=true]")
        if until is not None:
            page.wait_for_selector(until, timeout=300_000)
        return page.evaluate(FIRST_PAINT), page.evaluate(CONTENT), page.evaluate("performance.now()")
    finally:
        page.close()


def told(found: list[tuple[float, float, float]], place: int) -> str:
    values = [one[place] for one in found]
    return f"**{statistics.median(values):,.0f}** ({min(values):,.0f}-{max(values):,.0f})"


if __name__ == "__main__":
    main()
