"""Data, models, comparing: what a user does there, and that everybody can."""

import json

import pytest
from playwright.sync_api import expect

from tests.dashboard.archive import HOSTILE
from tests.dashboard.pages_api import register, reviews, save_tiny_model, upload
from tests.dashboard.test_access import violations

pytestmark = pytest.mark.xdist_group("dashboard")

CARD = f"""---
license: mit
---
# A card

Made by **us**, with `care` and [a link](https://example.org/x), [a trap](javascript:alert(1)), {HOSTILE}

| split | f1 |
|---|---|
| test | 0.9 |

- one
- two
"""


@pytest.fixture(scope="module")
def url(url, tmp_path_factory):
    folder = save_tiny_model(tmp_path_factory.mktemp("model") / "tiny")
    register(url, "tiny", folder)
    (folder / "README.md").write_text(CARD)
    register(url, "carded", folder)
    return url


def test_a_file_is_uploaded_looked_at_and_deleted(dashboard):
    page = dashboard.open("#/data")
    page.locator("input[type=file]").set_input_files(
        {"name": "mine.jsonl", "mimeType": "text/plain", "buffer": reviews(num_rows=30)}
    )
    expect(page.get_by_role("heading", level=1)).to_have_text("mine.jsonl", use_inner_text=True)
    expect(page.get_by_role("region", name="First rows").get_by_role("row")).to_have_count(11)
    expect(page.get_by_role("link", name="Train on this")).to_have_attribute(
        "href", r"#/new?train=" + page.url.split("/")[-1]
    )
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("mine.jsonl is removed")
    dialog.get_by_role("button", name="Delete the file").click()
    page.wait_for_url("**#/data")
    expect(page.get_by_role("row", name="mine.jsonl")).to_have_count(0)


def test_a_card_is_shown_and_does_nothing(dashboard):
    page = dashboard.open("#/models/carded?tab=card")
    card = page.get_by_role("tabpanel", name="Card")
    expect(card.get_by_role("heading", name="A card")).to_be_visible()
    expect(card.get_by_role("cell", name="0.9")).to_be_visible()
    expect(card.get_by_text(HOSTILE)).to_be_visible()
    assert [link.get_attribute("href") for link in card.get_by_role("link").all()] == ["https://example.org/x"]
    page.get_by_role("tab", name="Files").click()
    expect(page.get_by_role("row", name="model.safetensors")).to_be_visible()
    assert page.evaluate("window.hacked") is None


def test_runs_are_compared_with_the_best_marked(dashboard, archive):
    page = dashboard.open(f"#/compare?jobs={archive.finished},{archive.running},ftjob-{'0' * 32}")
    expect(page.get_by_text("One of the jobs is not there")).to_be_visible()
    expect(page.get_by_role("region", name="Scores")).to_be_visible()
    page.get_by_role("button", name="out of the comparison").last.click()
    expect(page.get_by_role("list", name="Runs").first.get_by_role("listitem")).to_have_count(1)
    assert archive.running not in page.url
    dashboard.watch.errors[:] = [error for error in dashboard.watch.errors if "status of 404" not in error]


def test_workers_are_there_with_what_they_have_and_run(dashboard, archive):
    page = dashboard.open("#/workers")
    expect(page.get_by_role("status").filter(has_text="1 running, room for 1 more.")).to_be_visible()
    row = page.get_by_role("row", name=HOSTILE)
    for words in ("takes any job", "1 of 2", "2 × NVIDIA L4, 24.2 GB"):
        expect(row).to_contain_text(words)
    row.get_by_role("link").click()
    page.wait_for_url(f"**#/jobs/{archive.running}")
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize(
    ("route", "link", "says"),
    [
        ("/sweeps", "Sweeps", "This server has no sweeps"),
        ("/workers", "Workers", "This server does not tell its workers"),
    ],
)
def test_an_older_server_without_a_page_says_so(dashboard, route, link, says):
    page = dashboard.page
    page.route("**/openapi.json", lambda asked: asked.fulfill(json=without(route, asked.fetch().json())))
    dashboard.open(f"#{route}")
    expect(page.get_by_role("heading", name=says)).to_be_visible()
    expect(page.get_by_role("link", name=link)).to_be_hidden()


def without(route: str, document: dict) -> dict:
    return document | {"paths": {path: each for path, each in document["paths"].items() if path != route}}


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_the_other_pages_are_for_everybody(dashboard, archive, theme, width):
    file = upload(
        dashboard.url,
        "long.jsonl",
        json.dumps({"text": "word" * 60, "label": "x" * 80}).encode() + b"\n" + reviews(num_rows=9),
    )
    page = dashboard.page
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 844})
    for fragment in ("#/workers", "#/new", f"#/new?train={file}&model=tiny", "#/data", f"#/data/{file}", "#/models", "#/models/carded", "#/try",
                     f"#/compare?jobs={archive.finished},{archive.running}"):  # fmt: skip
        dashboard.open(fragment)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), fragment
        if fragment.startswith("#/new?"):
            expect(page.get_by_text("Fits", exact=False).first).to_be_visible()
        assert violations(page) == [], fragment
