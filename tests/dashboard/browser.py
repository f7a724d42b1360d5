"""A real Chromium, found on this machine: Playwright's own builds are not fetched."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
ARGUMENTS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # as if there were no network
]  # fmt: skip
PATIENCE_MS = 45_000
"""Of a machine that runs the whole suite at the same time."""
REQUIRED = "TUNERY_TEST_BROWSER"


def find_browser() -> str:
    """Its executable. Without one the test is skipped, or fails where a browser is required."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        reason = (
            f"no browser is installed (looked for {', '.join(NAMES)}); on Debian and Ubuntu: apt-get install chromium"
        )
        pytest.fail(reason) if os.environ.get(REQUIRED) == "required" else pytest.skip(reason)
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    executable = find_browser()
    arguments = [*ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Watch:
    """All that went wrong in a page, and whom it asked."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.requests: list[Request] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("requestfailed", self._failed)
        page.on("request", lambda request: self.requests.append(request))  # noqa: PLW0108 # it marks what it is given

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page itself did not want it any more
            self.errors.append(f"failed: {request.method} {request.url} {request.failure}")

    def hosts(self) -> set[str | None]:
        return {urlsplit(request.url).hostname for request in self.requests if request.url.startswith("http")}

    def asked(self, part: str) -> list[str]:
        return [request.url for request in self.requests if part in request.url]


def new_page(browser: Browser, **options) -> tuple[BrowserContext, Page, Watch]:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    return context, page, Watch(page)
