import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.contract.endpoints import running_api
from tests.dashboard.archive import Archive, fill
from tests.dashboard.browser import Watch, new_page, running_browser
from tests.dashboard.pages_api import register, save_tiny_model
from tests.road.conftest import Service
from tests.stack.processes import Up

NUM_JOBS = 1000
NO_PREDICTOR = "tcp://127.0.0.1:9"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="package")
def archive(tmp_path_factory, migrated_sqlite) -> Archive:
    home = tmp_path_factory.mktemp("dashboard")
    shutil.copy(migrated_sqlite, home / "tunery.db")
    return fill(home, num_jobs=NUM_JOBS)


@pytest.fixture(scope="package")
def url(archive) -> Iterator[str]:
    """A server process on that database; nothing trains there."""
    with running_api(archive.home, NO_PREDICTOR) as running:
        yield running


@pytest.fixture(scope="package")
def stack() -> Iterator[Service]:
    """A whole service without a job, on which a model is registered as ``tiny``."""
    home = Path(tempfile.mkdtemp(prefix="tunery-road-"))
    up = Up(home / "home")
    try:
        url = up.wait_ready()
        register(url, "tiny", save_tiny_model(home / "tiny"))
        yield Service(up, url)
        assert up.stop() == 0, up.log()[-4000:]
    finally:
        up.clean_up()
        shutil.rmtree(home, ignore_errors=True)


class Dashboard:
    """A tab of the dashboard of one server."""

    def __init__(self, page: Page, watch: Watch, url: str) -> None:
        self.page, self.watch, self.url = page, watch, url

    def open(self, fragment: str = "#/jobs") -> Page:
        """The page with its first content. Gives the tab itself."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/{fragment}")
        self.page.wait_for_selector(".page[data-ready=true]")
        return self.page


@pytest.fixture
def watched(browser) -> Iterator[tuple[Page, Watch]]:
    """A tab of its own. Whoever uses it gets no console error, no failed request, and asks this machine alone."""
    context, page, watch = new_page(browser)
    yield page, watch
    context.close()
    assert watch.errors == []
    assert watch.hosts() <= {"127.0.0.1"}


@pytest.fixture
def dashboard(watched, url) -> Dashboard:
    return Dashboard(*watched, url)
